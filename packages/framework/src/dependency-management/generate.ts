/** For tests and measurements: artifacts from the few words that matter, and random repositories from a seed. */
import { type Artifact, type ArtifactName, artifactManifestSchema, type Sha256 } from '@leonore/protocol';
import { createHash } from 'node:crypto';
import type { z } from 'zod';
import type { ResolveRequest } from './request.ts';

type ManifestInput = z.input<typeof artifactManifestSchema>;
export interface ArtifactInput extends Omit<ManifestInput, 'name' | 'version'> {
  readonly unpackedSize?: number;
  readonly withdrawn?: string;
}

/** `artifact('svm 1.2.28', { requires: { artifacts: { libmodbus: '^3' } } })` */
export function artifact(label: string, { unpackedSize = 0, withdrawn, ...rest }: ArtifactInput = {}): Artifact {
  const [name = '', version = ''] = label.split(' ');
  const manifest = artifactManifestSchema.parse({ name, version, ...rest });
  const content = createHash('sha256').update(JSON.stringify(manifest)).digest('hex');
  return {
    manifest,
    contentSha256: content as Sha256,
    unpackedSize,
    fileCount: 1,
    segments: [],
    publishedAt: 0,
    ...(withdrawn === undefined ? {} : { withdrawnAt: 1, withdrawnReason: withdrawn }),
  };
}

/** `request('app ^1', 'svm')` on a linux-arm64-glibc gateway that has nothing yet. */
export function request(applications: string | readonly string[], rest: Partial<ResolveRequest> = {}): ResolveRequest {
  const asked = [applications].flat().map((text) => {
    const at = text.indexOf(' ');
    const [name, range] = at < 0 ? [text, '*'] : [text.slice(0, at), text.slice(at + 1)];
    return { name: name as ArtifactName, range };
  });
  const platform = { os: 'linux', arch: 'arm64', libc: 'glibc' };
  return { platform, capabilities: {}, applications: asked, installed: [], upgrade: false, ...rest };
}

/** `installed('svm 1.2.28', 'app 1.0.0 requested')` */
export function installed(...labels: string[]): ResolveRequest['installed'] {
  return labels.map((label) => {
    const [name = '', version = '', requested] = label.split(' ');
    return { name: name as ArtifactName, version, requested: requested === 'requested' };
  });
}

export interface RepositoryShape {
  readonly seed: number;
  readonly components: number;
  readonly versions: number;
  /** Requirements of each version, on components with a higher number only, so that there are no cycles. */
  readonly needs: number;
  /** Chance that a requirement names a narrow range (one major) instead of a lower bound. */
  readonly narrow: number;
  /** Chance that a version conflicts with some version of another component. */
  readonly conflicts: number;
}

/** Components c0, c1 ... of versions 1.0.0, 1.1.0, 2.0.0, 2.1.0 ...; the same seed gives the same repository. */
export function randomRepository(shape: RepositoryShape): Artifact[] {
  const random = mulberry32(shape.seed);
  const pick = (count: number): number => Math.floor(random() * count);
  const versionAt = (index: number): string => `${1 + Math.floor(index / 2)}.${index % 2}.0`;
  const artifacts: Artifact[] = [];
  for (let component = 0; component < shape.components; component++) {
    for (let index = 0; index < shape.versions; index++) {
      const needs: Record<string, string> = {};
      const conflicts: Record<string, string> = {};
      const above = shape.components - component - 1;
      const count = above > 0 ? shape.needs : 0;
      for (let need = 0; need < count; need++) {
        const version = versionAt(pick(shape.versions));
        needs[`c${component + 1 + pick(above)}`] = random() < shape.narrow ? `^${version}` : `>=${version}`;
      }
      if (random() < shape.conflicts && above > 0) {
        conflicts[`c${component + 1 + pick(above)}`] = versionAt(pick(shape.versions));
      }
      artifacts.push(artifact(`c${component} ${versionAt(index)}`, { requires: { artifacts: needs }, conflicts }));
    }
  }
  return artifacts;
}

/** Tommy Ettinger's mulberry32: 32 bits of state, good enough to make up repositories. */
function mulberry32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
