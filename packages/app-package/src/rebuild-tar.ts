/**
 * Makes a build's tar again from its unpacked files and the entries that it had, byte for byte if the files are still
 * what they were. Leaves to others: to check that by the digest.
 */
import { mismatch, quoted } from './archive-fault.ts';
import { pathFault } from './entry-path.ts';
import { exactFile } from './exact-file.ts';
import { encodeTarEntry, type TarEntry, tarPadding } from './tar-writer.ts';

/** Bytes of the tar with these entries. */
export function tarSize(layout: readonly TarEntry[]): number {
  return layout.reduce((sum, entry) => sum + encodeTarEntry(entry).length + entry.size + tarPadding(entry.size), 0);
}

/**
 * `fileOf`: where the file of an entry lies on this machine. What lies there beside the entries does not matter.
 * @throws LeonoreError `archive.mismatch` naming a file that is gone, has another size, or is none any more
 */
export async function* rebuildTar(
  layout: readonly TarEntry[],
  fileOf: (path: string) => string,
): AsyncGenerator<Uint8Array, void, undefined> {
  for (const entry of layout) {
    const fault = pathFault(entry.path);
    if (fault) throw mismatch(quoted(entry.path), fault);
    yield encodeTarEntry(entry);
    if (entry.type === 'folder') continue;
    const changed = (cause?: unknown): Error =>
      mismatch(quoted(entry.path), 'is not the file any more that was unpacked', cause);
    yield* exactFile(fileOf(entry.path), entry.size, changed);
    yield Buffer.alloc(tarPadding(entry.size));
  }
}
