/** What this machine is: os, processor, libc, memory, disk, in the names that platforms of builds use. */
import { access, readdir, statfs } from 'node:fs/promises';
import { arch, cpus, freemem, hostname, platform, release, totalmem } from 'node:os';
import type { GatewayProfile } from '@leonore/protocol';

/** `glibc` or `musl`; undefined where neither is meant (not Linux) or found. */
export async function findLibc(): Promise<string | undefined> {
  if (platform() !== 'linux') return undefined;
  // What Node itself runs on comes first: a glibc system may have musl beside it. Without the network part, as that
  // asks the name server about every open connection.
  Object.assign(process.report, { excludeNetwork: true });
  const report = process.report.getReport() as { header?: { glibcVersionRuntime?: string } };
  if (report.header?.glibcVersionRuntime !== undefined) return 'glibc';
  const libraries = await readdir('/lib').catch(() => []);
  return libraries.some((name) => name.startsWith('ld-musl-')) ? 'musl' : undefined;
}

/** By architecture the others it may run, each with the loader without which no program of it starts. */
const LOADERS: Readonly<Record<string, readonly { readonly arch: string; readonly loader: string }[]>> = {
  x64: [{ arch: 'ia32', loader: '/lib/ld-linux.so.2' }],
  arm64: [{ arch: 'arm', loader: '/lib/ld-linux-armhf.so.3' }],
};

/** Other architectures whose programs run here: only those whose loader is there, as the processor alone is no proof. */
export async function findCompatibleArchs(own: string, exists = fileExists): Promise<string[]> {
  const possible = LOADERS[own] ?? [];
  const found = await Promise.all(possible.map(({ loader }) => exists(loader)));
  return possible.filter((_, index) => found[index]).map(({ arch: other }) => other);
}

function fileExists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** Bytes of the file system that holds `path`; `free`: what this user may still write. */
export async function diskSpace(path: string): Promise<{ total: number; free: number }> {
  const { blocks, bavail, bsize } = await statfs(path);
  return { total: blocks * bsize, free: bavail * bsize };
}

export async function machineFacts(root: string): Promise<Partial<GatewayProfile>> {
  const processors = cpus();
  const model = processors[0]?.model.trim().slice(0, 128);
  const libc = await findLibc();
  const compatibleArchs = platform() === 'linux' ? await findCompatibleArchs(arch()) : [];
  return {
    hostname: hostname().slice(0, 255),
    os: platform(),
    arch: arch(),
    ...(libc === undefined ? {} : { libc }),
    ...(compatibleArchs.length === 0 ? {} : { compatibleArchs }),
    kernel: release().slice(0, 128),
    cpu: { ...(model ? { model } : {}), cores: Math.max(1, processors.length) },
    memory: { total: totalmem(), free: freemem() },
    disk: await diskSpace(root),
  };
}
