/**
 * A sink for package bytes that keeps none of them: every byte goes through a digest that the task or the package's
 * manifest names. Holds the header and a digest's state, so a thousand downloads at once stay small.
 * Leaves to others: fetching, and what it means for the gateway when the bytes are wrong.
 */
import { createHash, type Hash } from 'node:crypto';
import type { AgentTask, PackageSink } from '@leonore/agent';
import { LeonoreError, type PackageManifest } from '@leonore/protocol';
import type { HeaderReader } from './header-reader.ts';

export interface PackageCheck extends PackageSink {
  /** In the order of the package. */
  append(chunk: Uint8Array): Promise<void>;
  /** Call it when all bytes are here. @throws LeonoreError `archive.mismatch` or `archive.corrupt` naming what is wrong. */
  finish(): Promise<PackageManifest>;
}

/** `wholeSha256`: digest of all bytes, as the task document has it; covers the trailer, which no manifest names. */
export function createPackageCheck(task: AgentTask, wholeSha256: string, readHeader: HeaderReader): PackageCheck {
  let offset = 0;
  let etag: string | undefined;
  let header: Buffer[] = [];
  let whole = createHash('sha256');
  let manifest: PackageManifest | undefined;
  let segment: { index: number; hash: Hash } = { index: 0, hash: createHash('sha256') };

  /** Bytes after the header; `position` counts from the header's end. */
  function checkSegments(parsed: PackageManifest, chunk: Uint8Array, position: number): void {
    let at = position;
    let rest = chunk;
    for (;;) {
      const component = parsed.components[segment.index];
      // What comes after the last segment is the trailer.
      if (!component || rest.length === 0) return;
      const { offset: start, length, sha256 } = component.segment;
      if (at < start) throw mismatch(`the segment of ${component.name} does not follow the one before it`);
      const part = rest.subarray(0, start + length - at);
      segment.hash.update(part);
      at += part.length;
      rest = rest.subarray(part.length);
      if (at < start + length) return;
      if (segment.hash.digest('hex') !== sha256) throw mismatch(`the segment of ${component.name} has other bytes`);
      segment = { index: segment.index + 1, hash: createHash('sha256') };
    }
  }

  return {
    position: () => ({ offset, etag }),
    async restart(newEtag) {
      await Promise.resolve();
      offset = 0;
      etag = newEtag;
      header = [];
      whole = createHash('sha256');
      manifest = undefined;
      segment = { index: 0, hash: createHash('sha256') };
    },
    async append(chunk) {
      whole.update(chunk);
      const before = offset;
      offset += chunk.length;
      const ofHeader = Math.max(0, task.headerSize - before);
      if (ofHeader > 0) header.push(Buffer.from(chunk.subarray(0, ofHeader)));
      if (offset < task.headerSize) return;
      if (!manifest) {
        manifest = await readHeader(Buffer.concat(header), task);
        header = [];
        if (manifest.id !== task.packageId) throw mismatch(`it is ${manifest.id}, the task is about ${task.packageId}`);
      }
      checkSegments(manifest, chunk.subarray(ofHeader), Math.max(0, before - task.headerSize));
    },
    async finish() {
      await Promise.resolve();
      if (offset !== task.size) throw mismatch(`it has ${offset} bytes instead of ${task.size}`);
      const next = manifest?.components[segment.index];
      if (!manifest || next)
        throw mismatch(`it ends before ${next ? `the segment of ${next.name}` : 'its header'} does`);
      if (whole.digest('hex') !== wholeSha256) throw mismatch('its bytes as a whole do not have their digest');
      return manifest;
    },
  };
}

function mismatch(why: string): LeonoreError {
  return new LeonoreError('archive.mismatch', `the package is not what its task says: ${why}`);
}
