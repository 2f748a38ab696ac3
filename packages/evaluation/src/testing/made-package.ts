/** A small package of two components, composed as a node does it, with the task document that brings it. For tests. */
import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { composePackage, packageIdOf } from '@leonore/app-package';
import {
  artifactNameSchema,
  CHUNK_METADATA,
  type DdiDeployment,
  LEONORE_PART,
  type PackageManifest,
  sha256Schema,
} from '@leonore/protocol';
import { incompressible } from '../bench/bench-artifact.ts';

export interface MadePackage {
  readonly manifest: PackageManifest;
  readonly bytes: Buffer;
  readonly headerSize: number;
  /** The document of a task with this number, whose package lies at `url`. */
  deployment(sequence: number, url: string, expires?: number): DdiDeployment;
}

/** The year 3000. */
const FAR_FUTURE = Date.UTC(3000, 0);

export function makePackage(version = '1.0.0'): MadePackage {
  const segments = ['runtime', 'app'].map((name) => gzipSync(incompressible(2000, `${name} ${version}`)));
  const components = ['runtime', 'app'].map((name, index) => {
    const segment = segments[index] ?? Buffer.alloc(0);
    return {
      name: artifactNameSchema.parse(name),
      version,
      action: 'install' as const,
      requested: name === 'app',
      after: [],
      contentSha256: sha256(Buffer.from(name)),
      segment: { encoding: 'gzip' as const, sha256: sha256(segment), size: segment.length },
      files: [],
      unpackedSize: 0,
    };
  });
  const content = {
    encoding: 'gzip' as const,
    gatewayClass: { id: 'c-1', platform: {} },
    components,
    keep: [],
    remove: [],
  };
  const composed = composePackage({ ...content, id: packageIdOf(content) });
  const bytes = Buffer.concat([composed.header, ...segments, composed.trailer]);
  return {
    manifest: composed.manifest,
    bytes,
    headerSize: composed.header.length,
    deployment: (sequence, url, expires = FAR_FUTURE) => ({
      id: String(sequence),
      deployment: {
        download: 'forced',
        update: 'forced',
        chunks: [
          {
            part: LEONORE_PART,
            version,
            name: 'app',
            artifacts: [
              {
                filename: 'package.tar.gz',
                hashes: { sha1: '', md5: '', sha256: sha256(bytes) },
                size: bytes.length,
                _links: { 'download-http': { href: url } },
              },
            ],
            metadata: [
              { key: CHUNK_METADATA.packageId, value: composed.manifest.id },
              { key: CHUNK_METADATA.gatewayClass, value: 'c-1' },
              { key: CHUNK_METADATA.sequence, value: String(sequence) },
              { key: CHUNK_METADATA.expires, value: String(expires) },
              { key: CHUNK_METADATA.encoding, value: 'gzip' },
              { key: CHUNK_METADATA.headerSha256, value: composed.headerSha256 },
              { key: CHUNK_METADATA.headerSize, value: String(composed.header.length) },
            ],
          },
        ],
      },
    }),
  };
}

function sha256(bytes: Uint8Array) {
  return sha256Schema.parse(createHash('sha256').update(bytes).digest('hex'));
}
