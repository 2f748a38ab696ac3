/**
 * What of an artifact's folder goes into its package, and everything that keeps it from being packed, all at once.
 * Reads names and modes, no contents. Leaves to others: writing it.
 */
import { lstat, readdir, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { Stats } from 'node:fs';
import { CONTROL_SCRIPTS, LeonoreError, type ArtifactManifest, type ErrorCode } from '@leonore/protocol';
import { quoted } from './archive-fault.ts';
import { foldedPath, pathFault } from './entry-path.ts';
import { entryName, MAX_FILE_BYTES, type TarEntry } from './tar-writer.ts';

/** An entry and the file it is made of. */
export interface SourceEntry extends TarEntry {
  /** Where it lies on this machine. */
  readonly source: string;
}

interface Fault {
  readonly code: Extract<ErrorCode, 'archive.hostile' | 'archive.mismatch'>;
  /** As seen from the artifact's folder. */
  readonly path: string;
  readonly why: string;
}

const SHOWN_FAULTS = 20;

/**
 * Sorted by the bytes of the entries' names. `manifestFile`: how leonore.yaml is called in messages.
 * @throws LeonoreError naming every fault and what to do: `archive.hostile` when something in it is never unpacked,
 *   `archive.mismatch` when the control scripts are not as they must be
 */
export async function readArtifactTree(dir: string, manifest: ArtifactManifest): Promise<SourceEntry[]> {
  const entries: SourceEntry[] = [];
  const faults: Fault[] = [];
  for (const part of ['binary', 'control'] as const) {
    const source = join(dir, part);
    const stats = await lstat(source).catch(ignoreMissing);
    if (stats) await walk({ source, shown: part, path: `${part}/${manifest.name}`, stats }, entries, faults);
  }
  if (entries.length + faults.length === 0) {
    const isImage = (await lstat(join(dir, 'image')).catch(ignoreMissing))?.isDirectory() ?? false;
    const what = isImage
      ? 'but image/; if that is what gateways install as it is, write kind: image into leonore.yaml'
      : `; put the files of ${manifest.name} into binary/, its scripts into control/`;
    throw new LeonoreError('archive.mismatch', `${dir} has neither binary/ nor control/${isImage ? ' ' : ''}${what}`);
  }
  checkControl(manifest, entries, faults);
  checkCase(entries, faults);
  if (faults.length > 0) throw refusal(dir, manifest, faults);
  return entries.toSorted((a, b) => Buffer.compare(Buffer.from(entryName(a)), Buffer.from(entryName(b))));
}

async function walk(
  at: { source: string; shown: string; path: string; stats: Stats },
  entries: SourceEntry[],
  faults: Fault[],
): Promise<void> {
  const { source, shown, path, stats } = at;
  const refuse = (why: string): number => faults.push({ code: 'archive.hostile', path: shown, why });
  const badPath = pathFault(path);
  if (badPath) {
    refuse(`${badPath}; give it another name`);
  } else if (stats.isDirectory()) {
    entries.push({ type: 'folder', path, mode: 0o755, size: 0, source });
    for (const name of await readdir(source)) {
      const child = { source: join(source, name), shown: `${shown}/${name}`, path: `${path}/${name}` };
      const childStats = await lstat(child.source).catch(ignoreMissing);
      // A name that does not lead back to its file is not UTF-8.
      if (childStats) await walk({ ...child, stats: childStats }, entries, faults);
      else
        faults.push({
          code: 'archive.hostile',
          path: child.shown,
          why: 'cannot be found under this name; give it one in UTF-8',
        });
    }
  } else if (stats.isSymbolicLink()) {
    refuse(
      `is a symbolic link to ${quoted(await readlink(source))}; packages hold no links: put a copy of the file in its place (cp -L), or let control/install make the link`,
    );
  } else if (!stats.isFile()) {
    refuse(`is ${kindOf(stats)}; packages hold files and folders only, so take it away`);
  } else if (stats.size > MAX_FILE_BYTES) {
    refuse(`has ${stats.size} bytes; a file has at most ${MAX_FILE_BYTES}, so split it`);
  } else if (shown === 'binary' || shown === 'control') {
    refuse('is a file; it must be a folder');
  } else {
    entries.push({ type: 'file', path, mode: (stats.mode & 0o100) === 0 ? 0o644 : 0o755, size: stats.size, source });
  }
}

/** `control/` holds the known scripts, executable; what shall run has a `start`. */
function checkControl(manifest: ArtifactManifest, entries: readonly SourceEntry[], faults: Fault[]): void {
  const prefix = `control/${manifest.name}/`;
  const refuse = (path: string, why: string): number => faults.push({ code: 'archive.mismatch', path, why });
  for (const entry of entries.filter(({ path }) => path.startsWith(prefix))) {
    const name = entry.path.slice(prefix.length);
    if (entry.type === 'folder' || !CONTROL_SCRIPTS.some((known) => known === name)) {
      refuse(
        `control/${name}`,
        `is no control script; they are ${CONTROL_SCRIPTS.join(', ')}: other files belong into binary/`,
      );
    } else if (entry.mode !== 0o755) {
      refuse(`control/${name}`, `is not executable; make it so with chmod +x`);
    }
  }
  if (manifest.run && !entries.some(({ path }) => path === `${prefix}start`)) {
    refuse('control/start', 'is missing, but leonore.yaml has "run"; add the script, or take "run" out');
  }
  const rootfs = manifest.run?.oci?.rootfs;
  if (rootfs !== undefined && !entries.some(({ path }) => path === `binary/${manifest.name}/${rootfs}`)) {
    refuse(`binary/${rootfs}`, 'is missing, but leonore.yaml names it in "run.oci.rootfs"; put the tar there');
  }
}

/** Such a tree cannot be unpacked on a file system without upper and lower case. */
function checkCase(entries: readonly SourceEntry[], faults: Fault[]): void {
  const seen = new Map<string, string>();
  for (const { path } of entries) {
    const twin = seen.get(foldedPath(path));
    if (twin === undefined) seen.set(foldedPath(path), path);
    else
      faults.push({
        code: 'archive.hostile',
        path,
        why: `differs from ${quoted(twin)} only in upper and lower case; rename one of them`,
      });
  }
}

function refusal(dir: string, manifest: ArtifactManifest, faults: readonly Fault[]): LeonoreError {
  const sorted = faults.toSorted((a, b) => (a.path < b.path ? -1 : 1));
  const lines = sorted.slice(0, SHOWN_FAULTS).map(({ path, why }) => `${quoted(path)} ${why}`);
  const more = sorted.length > SHOWN_FAULTS ? [`... and ${sorted.length - SHOWN_FAULTS} more`] : [];
  const text = sorted.length === 1 ? (lines[0] ?? '') : ['', ...lines, ...more].join('\n  ');
  const code = faults.some((fault) => fault.code === 'archive.hostile') ? 'archive.hostile' : 'archive.mismatch';
  return new LeonoreError(code, `${manifest.name} in ${dir} cannot be packed: ${text}`, {
    details: { faults: sorted.map(({ path, why }) => ({ path, why })) },
  });
}

function kindOf(stats: Stats): string {
  if (stats.isFIFO()) return 'a FIFO';
  if (stats.isSocket()) return 'a socket';
  return 'a device';
}

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT' && error.code !== 'ENOTDIR') throw error;
}
