/** Real packages for tests: artifacts as folders, packed and composed as a publisher and a node would. */
import { createHash } from 'node:crypto';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { type ComponentToCompose, composePackage, makeDelta, packArtifact, packageIdOf } from '@leonore/app-package';
import {
  type ArtifactName,
  CHUNK_METADATA,
  type DdiDeployment,
  type DeltaOffer,
  type Encoding,
  LEONORE_PART,
  type PackageManifest,
  type Platform,
  type Sha256,
} from '@leonore/protocol';
import type { FakeServer } from './fake-server.ts';

export interface ArtifactSketch {
  readonly name: string;
  readonly version?: string;
  readonly after?: readonly string[];
  readonly replaces?: string;
  readonly installPath?: string;
  /** Members of `run`; null = nothing to run. */
  readonly run?: Readonly<Record<string, unknown>> | null;
  /** Shell scripts in control/. */
  readonly control?: Readonly<Record<string, string>>;
  /** Files in binary/. */
  readonly binary?: Readonly<Record<string, string | Uint8Array>>;
  /** The tar of the build that a delta is offered from; `offer` changes what is said of it, `damage` its bytes before they get a digest. */
  readonly deltaFrom?: {
    readonly tar: Buffer;
    readonly offer?: Partial<DeltaOffer>;
    readonly damage?: (delta: Buffer) => Buffer;
  };
}
export interface TaskSketch {
  /** Action id and sequence. */
  readonly id: number;
  readonly components?: readonly ArtifactSketch[];
  readonly keep?: readonly { name: string; version: string; requested?: boolean; after?: readonly string[] }[];
  readonly remove?: readonly { name: string; version: string }[];
  /** Names of components that are meant to go down to an older version. */
  readonly downgrade?: readonly string[];
  readonly encoding?: Encoding;
  readonly platform?: Platform;
  readonly expires?: number;
  /** What a hostile server says of a component, and the segment it sends, in place of the publisher's. */
  readonly tamper?: (
    component: ComponentToCompose,
    segment: Buffer,
  ) => { component: ComponentToCompose; segment: Buffer };
  /** Changes the package's bytes after they were composed. */
  readonly damage?: (bytes: Buffer) => Buffer;
}

/** Makes the package, puts it on the server and offers it. @returns the deployment document. */
export async function offerTask(server: FakeServer, folder: string, sketch: TaskSketch): Promise<DdiDeployment> {
  const made = await makeTask(server, folder, sketch);
  server.offered = made.deployment;
  return made.deployment;
}

export interface MadeTask {
  readonly deployment: DdiDeployment;
  readonly bytes: Buffer;
  /** Of the package's address. */
  readonly path: string;
  readonly manifest: PackageManifest;
  readonly headerSize: number;
  /** Of each component, uncompressed. */
  readonly tars: Readonly<Record<string, Buffer>>;
  readonly deltas: readonly DeltaOffer[];
}

export async function makeTask(server: FakeServer, folder: string, sketch: TaskSketch): Promise<MadeTask> {
  const encoding = sketch.encoding ?? 'zstd';
  const segments: Buffer[] = [];
  const tars: Record<string, Buffer> = {};
  const deltas: DeltaOffer[] = [];
  const components = await Promise.all(
    (sketch.components ?? []).map(async (component, index) => {
      const packed = await packArtifact(await writeArtifact(join(folder, `task-${sketch.id}`), component), {
        outDir: join(folder, `task-${sketch.id}-${index}`),
        encodings: [encoding],
      });
      const segment = packed.segments[0];
      if (!segment) throw new Error('no segment');
      segments[index] = await readFile(segment.file);
      const tar = (encoding === 'zstd' ? zstdDecompressSync : gunzipSync)(segments[index]);
      tars[component.name] = tar;
      if (component.deltaFrom) deltas.push(offerDelta(server, component, tar));
      const { manifest, contentSha256, files, unpackedSize } = packed;
      const honest: ComponentToCompose = {
        name: manifest.name,
        version: manifest.version,
        action: component.replaces === undefined ? ('install' as const) : ('update' as const),
        ...(component.replaces === undefined ? {} : { replaces: component.replaces }),
        requested: true,
        ...(manifest.installPath === undefined ? {} : { installPath: manifest.installPath }),
        after: (component.after ?? []) as ArtifactName[],
        ...(manifest.run ? { run: manifest.run } : {}),
        contentSha256,
        files,
        unpackedSize,
        segment: { encoding, sha256: segment.sha256, size: segment.size },
      };
      if (!sketch.tamper) return honest;
      const told = sketch.tamper(honest, segments[index]);
      segments[index] = told.segment;
      return {
        ...told.component,
        segment: { encoding, sha256: sha256(told.segment), size: told.segment.length },
      };
    }),
  );
  const input = {
    encoding,
    gatewayClass: { id: 'class-1', platform: sketch.platform ?? {} },
    components,
    keep: (sketch.keep ?? []).map(({ name, version, requested = true, after = [] }) => ({
      name: name as ArtifactName,
      version,
      requested,
      after: after as ArtifactName[],
    })),
    remove: (sketch.remove ?? []).map(({ name, version }) => ({ name: name as ArtifactName, version })),
  };
  const id = packageIdOf(input);
  const composed = composePackage({ ...input, id });
  const whole = Buffer.concat([composed.header, ...segments, composed.trailer]);
  const bytes = sketch.damage?.(whole) ?? whole;
  const path = `/packages/${composed.headerSha256}`;
  server.packages.set(path, { bytes, etag: `"${createHash('sha256').update(bytes).digest('hex')}"` });
  const metadata: Record<string, string> = {
    [CHUNK_METADATA.packageId]: id,
    [CHUNK_METADATA.gatewayClass]: 'class-1',
    [CHUNK_METADATA.sequence]: String(sketch.id),
    [CHUNK_METADATA.expires]: String(sketch.expires ?? 4_102_444_800_000),
    [CHUNK_METADATA.encoding]: encoding,
    [CHUNK_METADATA.headerSha256]: composed.headerSha256,
    [CHUNK_METADATA.headerSize]: String(composed.header.length),
    ...(sketch.downgrade ? { [CHUNK_METADATA.downgrade]: JSON.stringify(sketch.downgrade) } : {}),
    ...(deltas.length > 0 ? { [CHUNK_METADATA.deltas]: JSON.stringify(deltas) } : {}),
  };
  const artifact = {
    filename: 'package',
    hashes: { sha1: '', md5: '', sha256: '' },
    size: whole.length,
    _links: { 'download-http': { href: `${server.url}${path}` } },
  };
  const chunk = {
    part: LEONORE_PART,
    version: '1',
    name: id,
    artifacts: [artifact],
    metadata: Object.entries(metadata).map(([key, value]) => ({ key, value })),
  };
  return {
    deployment: {
      id: String(sketch.id),
      deployment: { download: 'forced', update: 'forced', chunks: [chunk] },
    },
    bytes,
    path,
    manifest: composed.manifest,
    headerSize: composed.header.length,
    tars,
    deltas,
  };
}

/** Makes the delta and puts it on the server. */
function offerDelta(server: FakeServer, { name, deltaFrom }: ArtifactSketch, tar: Buffer): DeltaOffer {
  if (!deltaFrom) throw new Error('no delta');
  const made = makeDelta(deltaFrom.tar, tar);
  const bytes = deltaFrom.damage?.(made) ?? made;
  const path = `/packages/${sha256(bytes)}.delta.zst`;
  server.packages.set(path, { bytes, etag: `"${sha256(bytes)}"` });
  return {
    kind: 'zstd',
    name: name as ArtifactName,
    from: sha256(deltaFrom.tar),
    sha256: sha256(bytes),
    size: bytes.length,
    fromSize: deltaFrom.tar.length,
    toSize: tar.length,
    href: `${server.url}${path}`,
    ...deltaFrom.offer,
  };
}

function sha256(bytes: Uint8Array): Sha256 {
  return createHash('sha256').update(bytes).digest('hex') as Sha256;
}

async function writeArtifact(folder: string, sketch: ArtifactSketch): Promise<string> {
  const version = sketch.version ?? '1.0.0';
  const dir = join(folder, `${sketch.name}-${version}`);
  const run =
    sketch.run === null
      ? {}
      : { run: { restart: 'always', healthTimeoutSeconds: 3, stopTimeoutSeconds: 2, ...sketch.run } };
  const manifest = {
    name: sketch.name,
    version,
    ...(sketch.installPath === undefined ? {} : { installPath: sketch.installPath }),
    ...run,
  };
  const files: Record<string, string | Uint8Array> = {
    // JSON is YAML.
    'leonore.yaml': JSON.stringify(manifest),
    'binary/version.txt': `${version}\n`,
  };
  for (const [name, text] of Object.entries(sketch.binary ?? {})) files[`binary/${name}`] = text;
  const control = { ...(sketch.run === null ? {} : { start: 'exec sleep 300' }), ...sketch.control };
  for (const [name, text] of Object.entries(control)) files[`control/${name}`] = `#!/bin/sh\n${text}\n`;
  for (const [name, text] of Object.entries(files)) {
    const file = join(dir, name);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, text);
    if (name.startsWith('control/')) await chmod(file, 0o755);
  }
  return dir;
}
