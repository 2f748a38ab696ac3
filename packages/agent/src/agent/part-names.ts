/** The parts that a task's package is brought in. Pure. */
import type { DeltaOffer, PackageComponent, PackageManifest, Sha256 } from '@leonore/protocol';
import type { AgentTask } from '../connectivity/mod.ts';
import type { PartName } from './part-store.ts';

export function headerName(task: Pick<AgentTask, 'headerSha256' | 'headerSize'>): PartName {
  return { sha256: task.headerSha256, length: task.headerSize, subject: 'the header of the package' };
}

export function segmentName({ name, segment }: PackageComponent): PartName {
  return { sha256: segment.sha256, length: segment.length, subject: `the segment of ${name}` };
}

export function deltaName({ name, sha256, size }: DeltaOffer): PartName {
  return { sha256, length: size, subject: `the delta of ${name}` };
}

/** Digests of everything that may be brought for this task. */
export function partsOf(task: AgentTask, manifest: PackageManifest): Set<Sha256> {
  const segments = manifest.components.map(({ segment }) => segment.sha256);
  return new Set([task.headerSha256, ...segments, ...task.deltas.map(({ sha256 }) => sha256)]);
}
