/** What programs of this machine run on, in the names that platforms of builds use; and how much room there is. */
import { readdir, statfs } from 'node:fs/promises';
import { platform, totalmem } from 'node:os';
import { runProgram } from './program.ts';

/** `glibc` or `musl`; undefined where neither is meant (not Linux) or found. */
export async function findLibc(): Promise<{ readonly name: string; readonly version?: string } | undefined> {
  if (platform() !== 'linux') return undefined;
  // What Node itself runs on comes first: a glibc system may have musl beside it. Without the network part, as that
  // asks the name server about every open connection.
  Object.assign(process.report, { excludeNetwork: true });
  const report = process.report.getReport() as { header?: { glibcVersionRuntime?: string } };
  const glibc = report.header?.glibcVersionRuntime;
  if (glibc !== undefined) return { name: 'glibc', version: glibc.slice(0, 64) };
  const libraries = await readdir('/lib').catch(() => []);
  const musl = libraries.find((name) => name.startsWith('ld-musl-'));
  if (musl === undefined) return undefined;
  // Without a program to load it tells how it is called, and its version.
  const said = await runProgram(`/lib/${musl}`, [], { timeoutMs: 2000, maxBytes: 4096 });
  const version = said.outcome === 'ended' ? /^Version (\d[\w.-]{0,31})/m.exec(said.errors)?.[1] : undefined;
  return { name: 'musl', ...(version === undefined ? {} : { version }) };
}

/** By architecture the others it may run, each with the loader without which no program of it starts. */
const LOADERS: Readonly<Record<string, readonly { readonly arch: string; readonly loader: string }[]>> = {
  x64: [{ arch: 'ia32', loader: '/lib/ld-linux.so.2' }],
  arm64: [{ arch: 'arm', loader: '/lib/ld-linux-armhf.so.3' }],
};

/** Other architectures whose programs run here: only those whose loader is there, as the processor alone is no proof. */
export async function findCompatibleArchs(own: string, exists: (path: string) => Promise<boolean>): Promise<string[]> {
  const possible = LOADERS[own] ?? [];
  const found = await Promise.all(possible.map(({ loader }) => exists(loader)));
  return possible.filter((_, index) => found[index]).map(({ arch: other }) => other);
}

/** Bytes of the file system that holds `path`; `free`: what this user may still write. */
export async function diskSpace(path: string): Promise<{ total: number; free: number }> {
  const { blocks, bavail, bsize } = await statfs(path);
  return { total: blocks * bsize, free: bavail * bsize };
}

/** Bytes of memory; `total`: what this process may have of the machine's, `available`: what of that is to be had now. */
export function memorySpace(): { total: number; available: number } {
  const limit = process.constrainedMemory();
  return { total: limit > 0 ? Math.min(limit, totalmem()) : totalmem(), available: process.availableMemory() };
}
