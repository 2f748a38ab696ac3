/**
 * The tar of an installed version, made again from its files: what a delta starts from, and the content of a component
 * that is here already under another version. Its layout is kept beside the files from the time when they were unpacked;
 * versions that have none cannot be made again. Nothing here is trusted: the tar counts only with its digest.
 */
import { createHash } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { rebuildTar, type TarEntry, tarSize, type UnpackedComponents } from '@leonore/app-package';
import { LeonoreError, type Sha256 } from '@leonore/protocol';
import { z } from 'zod';
import type { AgentFolder } from './folder.ts';
import type { InstalledEntry, InstalledSet } from './installed.ts';
import type { Base } from './plan-fetch.ts';

const entrySchema = z.object({
  type: z.enum(['file', 'folder']),
  path: z.string(),
  mode: z.union([z.literal(0o755), z.literal(0o644)]),
  size: z.int().min(0),
});
const layoutSchema = z.array(entrySchema);

export interface InstalledTar extends Base {
  readonly label: string;
  /** The tar's bytes. @throws LeonoreError `archive.mismatch` when files are gone or have another size */
  bytes(): AsyncIterable<Uint8Array>;
}

/** Written into staging, from where a version takes its own along. */
export async function writeLayouts(staged: string, layouts: UnpackedComponents['layouts']): Promise<void> {
  await mkdir(join(staged, 'layout'));
  for (const [name, entries] of layouts) {
    await writeFile(join(staged, 'layout', `${name}.json`), JSON.stringify(entries));
  }
}

/** Every component that was unpacked has one. @throws where it was not, or where it was placed already */
export async function placeLayout(staged: string, name: string, version: string): Promise<void> {
  await rename(join(staged, 'layout', `${name}.json`), layoutFile(version));
}

/** What is installed and can be made again, whether or not its files are still what they were. */
export async function findInstalledTars(
  folder: AgentFolder,
  installed: InstalledSet,
  wanted: ReadonlySet<Sha256>,
): Promise<InstalledTar[]> {
  const found: InstalledTar[] = [];
  for (const entry of Object.values(installed)) {
    if (!wanted.has(entry.contentSha256)) continue;
    const version = folder.version(entry.name, entry.folder);
    const layout = await readLayout(version);
    if (layout) found.push(installedTar(version, entry, layout));
  }
  return found;
}

function installedTar(version: string, entry: InstalledEntry, layout: readonly TarEntry[]): InstalledTar {
  return {
    contentSha256: entry.contentSha256,
    size: tarSize(layout),
    label: `${entry.name} ${entry.version}`,
    bytes: () => rebuildTar(layout, (path) => fileOf(version, entry.name, path)),
  };
}

/** `binary/NAME/...` and `control/NAME/...` lie in `binary/...` and `control/...` of the version's folder. */
function fileOf(version: string, name: string, path: string): string {
  for (const part of ['binary', 'control']) {
    const prefix = `${part}/${name}/`;
    if (path.startsWith(prefix)) return join(version, part, path.slice(prefix.length));
  }
  throw new LeonoreError('archive.mismatch', `the layout in ${version} names ${path}, which is not of ${name}`);
}

/** @throws LeonoreError `archive.mismatch` when the files are no longer what was unpacked. */
export async function requireUnchanged(tar: InstalledTar, onChunk?: (chunk: Uint8Array) => void): Promise<void> {
  const hash = createHash('sha256');
  for await (const chunk of tar.bytes()) {
    hash.update(chunk);
    onChunk?.(chunk);
  }
  if (hash.digest('hex') === tar.contentSha256) return;
  throw new LeonoreError('archive.mismatch', `the files of ${tar.label} are no longer what was unpacked`);
}

/** The whole tar in memory. @throws as `requireUnchanged` */
export async function readTarBytes(tar: InstalledTar): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(tar.size);
  let length = 0;
  await requireUnchanged(tar, (chunk) => {
    bytes.set(chunk, length);
    length += chunk.length;
  });
  return bytes;
}

async function readLayout(version: string): Promise<readonly TarEntry[] | undefined> {
  const text = await readFile(layoutFile(version), 'utf8').catch(() => '[]');
  try {
    const layout = layoutSchema.parse(JSON.parse(text));
    return layout.length > 0 ? layout : undefined;
  } catch {
    return undefined;
  }
}

function layoutFile(version: string): string {
  return join(version, 'layout.json');
}
