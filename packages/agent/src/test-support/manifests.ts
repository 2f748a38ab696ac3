/** Manifests and installed sets for tests of the planner and what stands on it. */

import { createHash } from 'node:crypto';
import {
  type ArtifactName,
  type PackageComponent,
  type PackageManifest,
  packageManifestSchema,
  type Sha256,
} from '@leonore/protocol';
import type { InstalledEntry, InstalledSet } from '../agent/installed.ts';

export function digest(text: string): Sha256 {
  return createHash('sha256').update(text).digest('hex') as Sha256;
}

export interface ComponentSketch {
  readonly name: string;
  readonly version?: string;
  readonly after?: readonly string[];
  readonly installPath?: string;
  /** Has nothing to run. */
  readonly still?: boolean;
}

export function entry(sketch: ComponentSketch): InstalledEntry {
  const version = sketch.version ?? '1.0.0';
  return {
    name: sketch.name as ArtifactName,
    version,
    folder: version,
    contentSha256: digest(`${sketch.name}@${version}`),
    requested: true,
    after: (sketch.after ?? []) as ArtifactName[],
    ...(sketch.still ? {} : { run: RUN }),
    ...(sketch.installPath === undefined ? {} : { installPath: sketch.installPath }),
    sequence: 1,
  };
}

const RUN = {
  restart: 'always' as const,
  healthTimeoutSeconds: 30,
  healthIntervalSeconds: 30,
  stopTimeoutSeconds: 10,
  env: {},
};

export function installedSet(...sketches: readonly ComponentSketch[]): InstalledSet {
  return Object.fromEntries(sketches.map((sketch) => [sketch.name, entry(sketch)]));
}

export function manifest(sketch: {
  components?: readonly ComponentSketch[];
  keep?: readonly ComponentSketch[];
  remove?: readonly { name: string; version?: string }[];
}): PackageManifest {
  return packageManifestSchema.parse({
    schemaVersion: 1,
    id: `p-${'0'.repeat(32)}`,
    encoding: 'gzip',
    gatewayClass: { id: 'c-1', platform: {} },
    components: (sketch.components ?? []).map((component): Partial<PackageComponent> => {
      const { name, version, after, run, installPath, contentSha256, requested } = entry(component);
      return {
        name,
        version,
        action: 'install',
        requested,
        after,
        run,
        installPath,
        contentSha256,
        segment: { offset: 0, length: 1, sha256: digest(name) },
        files: [],
        unpackedSize: 0,
      };
    }),
    keep: (sketch.keep ?? []).map((kept) => {
      const { name, version, requested, after } = entry(kept);
      return { name, version, requested, after };
    }),
    remove: (sketch.remove ?? []).map(({ name, version = '1.0.0' }) => ({ name, version })),
    payloadSize: 0,
  });
}
