/**
 * Reads package headers for a whole fleet. The digest of every gateway's bytes is checked, every time; what bytes with
 * that digest say is worked out once, since a thousand equal headers say the same.
 */
import { createHash } from 'node:crypto';
import type { AgentTask } from '@leonore/agent';
import { readPackageHeader } from '@leonore/app-package';
import { LeonoreError, type PackageManifest } from '@leonore/protocol';

export type HeaderReader = (header: Buffer, task: HeaderTask) => Promise<PackageManifest>;
type HeaderTask = Pick<AgentTask, 'headerSha256' | 'headerSize' | 'encoding'>;

/** Packages that are under way at the same time are few: one for each class of gateways and rollout. */
const MOST_KEPT = 100;

/** @throws LeonoreError `archive.mismatch`, `archive.corrupt` or `archive.hostile` */
export function createHeaderReader(): HeaderReader {
  const kept = new Map<string, Promise<PackageManifest>>();
  return async (header, task) => {
    const sha256 = createHash('sha256').update(header).digest('hex');
    if (sha256 !== task.headerSha256) {
      throw new LeonoreError(
        'archive.mismatch',
        `the package's header has the SHA-256 ${sha256} instead of ${task.headerSha256}`,
      );
    }
    const key = `${sha256} ${task.encoding}`;
    const known = kept.get(key);
    if (known) return known;
    const reading = readPackageHeader(once(header), task);
    kept.set(key, reading);
    for (const oldest of kept.keys()) {
      if (kept.size <= MOST_KEPT) break;
      kept.delete(oldest);
    }
    return reading;
  };
}

async function* once(bytes: Buffer): AsyncGenerator<Uint8Array> {
  await Promise.resolve();
  yield bytes;
}
