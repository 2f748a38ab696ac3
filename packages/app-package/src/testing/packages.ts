/** For tests: packages of one component around any segment, honest or not. */
import type { ArtifactName, Encoding, FileEntry, PackageComponent, Segment } from '@leonore/protocol';
import { composePackage, packageIdOf, type ComposedPackage, type PackageToCompose } from '../compose.ts';
import type { PackedArtifact } from '../pack.ts';
import { compressRaw, sha256Of } from './raw-tar.ts';

export const SVM = 'svm' as ArtifactName;

export interface TestPackage extends ComposedPackage {
  readonly bytes: Buffer;
  readonly encoding: Encoding;
  readonly headerSize: number;
}

/** A package whose digests are all right, however hostile `tar` is. `claims` change what its manifest says. */
export function packageAround(
  encoding: Encoding,
  tar: Buffer,
  files: readonly FileEntry[],
  claims: Partial<PackageComponent> = {},
  packed: Buffer = compressRaw(encoding, tar),
): TestPackage {
  const input = packageInput(
    encoding,
    { encoding, sha256: sha256Of(packed), size: packed.length },
    {
      contentSha256: sha256Of(tar),
      files: [...files],
      unpackedSize: files.reduce((sum, { size }) => sum + size, 0),
      ...claims,
    },
  );
  return assemble(input, [packed]);
}

export function packageInput(
  encoding: Encoding,
  segment: Segment,
  component: Pick<PackageComponent, 'contentSha256' | 'files' | 'unpackedSize'> & Partial<PackageComponent>,
): Omit<PackageToCompose, 'id'> {
  return {
    encoding,
    gatewayClass: { id: 'linux-x64-glibc', platform: { os: 'linux', arch: 'x64', libc: 'glibc' } },
    components: [
      {
        name: SVM,
        version: '1.0.0',
        action: 'install',
        requested: true,
        installPath: '/opt/svm',
        after: [],
        ...component,
        segment,
      },
    ],
    keep: [],
    remove: [],
  };
}

export function assemble(input: Omit<PackageToCompose, 'id'>, segments: readonly Buffer[]): TestPackage {
  const composed = composePackage({ id: packageIdOf(input), ...input });
  const bytes = Buffer.concat([composed.header, ...segments, composed.trailer]);
  return { ...composed, bytes, encoding: input.encoding, headerSize: composed.header.length };
}

/** The composition of one packed artifact. */
export function inputOf(packed: PackedArtifact, encoding: Encoding): Omit<PackageToCompose, 'id'> {
  const segment = packed.segments.find((candidate) => candidate.encoding === encoding);
  if (!segment) throw new Error(`there is no ${encoding} segment`);
  const { file: _, ...rest } = segment;
  return packageInput(encoding, rest, {
    name: packed.manifest.name,
    version: packed.manifest.version,
    contentSha256: packed.contentSha256,
    files: packed.files,
    unpackedSize: packed.unpackedSize,
  });
}

/** `bytes` in pieces of `size`. `state` tells how much was taken and whether the reader closed it. */
export function piecewise(
  bytes: Uint8Array,
  size = 4096,
): AsyncGenerator<Uint8Array, void> & { readonly state: { taken: number; closed: boolean } } {
  const state = { taken: 0, closed: false };
  async function* pieces(): AsyncGenerator<Uint8Array, void> {
    try {
      for (let at = 0; at < bytes.length; at += size) {
        const piece = bytes.subarray(at, at + size);
        state.taken += piece.length;
        await Promise.resolve();
        yield piece;
      }
    } finally {
      state.closed = true;
    }
  }
  return Object.assign(pieces(), { state });
}
