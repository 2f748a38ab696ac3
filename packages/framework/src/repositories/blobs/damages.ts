/**
 * Blobs that are not what they were. A damaged one is moved to DIR/damaged/SHA256, where it stays to be looked at: its
 * name is free then, so uploading the same bytes heals it. The folder is the list; only what is missing is remembered here.
 */
import { type FileHandle, mkdir, readdir, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { LeonoreError, type Sha256, sha256Schema } from '@leonore/protocol';
import type { BlobDamage } from '../contract.ts';
import { ignoreMissing, moved } from './durable.ts';

export interface Damages {
  /** Sets the file aside that `file` has open, and makes the error that says so. */
  setAside(sha256: Sha256, file: FileHandle, problem: 'damaged' | 'unreadable', what: string): Promise<LeonoreError>;
  /** The error for a blob that is asked for and has no file. */
  missing(sha256: Sha256): Promise<LeonoreError>;
  /** The bytes are here again. */
  healed(sha256: Sha256): Promise<void>;
  list(): Promise<readonly BlobDamage[]>;
}

export interface DamageOptions {
  readonly folder: string;
  readonly blobFile: (sha256: Sha256) => string;
  readonly now: () => number;
  /** Called once for each blob when it is found damaged or missing. */
  readonly onDamage: (damage: BlobDamage) => void;
  /** A damaged blob of so many bytes takes no part in the store any more. */
  readonly onAside: (bytes: number) => void;
}

const MAX_KNOWN_MISSING = 1000;

export async function openDamages(options: DamageOptions): Promise<Damages> {
  const { folder, blobFile, now, onDamage, onAside } = options;
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const missing = new Map<Sha256, BlobDamage>();

  const asideFile = (sha256: Sha256) => join(folder, sha256);
  const found = (file: string) => stat(file).catch(ignoreMissing);

  return {
    async setAside(sha256, file, problem, what) {
      const { ino, size } = await file.stat();
      // Another read may have been first, and the blob may be healed since: only the very file that was read goes.
      if ((await found(blobFile(sha256)))?.ino === ino && (await moved(blobFile(sha256), asideFile(sha256)))) {
        const foundAt = now();
        await utimes(asideFile(sha256), foundAt / 1000, foundAt / 1000);
        onAside(size);
        onDamage({ sha256, problem, foundAt });
      }
      return corrupt(sha256, `${what}; it was set aside`, problem);
    },
    async missing(sha256) {
      if (await found(asideFile(sha256))) return corrupt(sha256, 'was found damaged and set aside', 'damaged');
      if (!missing.has(sha256)) {
        const damage: BlobDamage = { sha256, problem: 'missing', foundAt: now() };
        missing.set(sha256, damage);
        for (const oldest of missing.keys()) {
          if (missing.size <= MAX_KNOWN_MISSING) break;
          missing.delete(oldest);
        }
        onDamage(damage);
      }
      return corrupt(sha256, 'is not in the store any more', 'missing');
    },
    async healed(sha256) {
      missing.delete(sha256);
      await rm(asideFile(sha256), { force: true });
    },
    async list() {
      const known: BlobDamage[] = [];
      for (const name of await readdir(folder)) {
        const sha256 = sha256Schema.safeParse(name).data;
        const aside = sha256 && (await found(asideFile(sha256)));
        if (sha256 && aside) known.push({ sha256, problem: 'damaged', foundAt: Math.round(aside.mtimeMs) });
      }
      const open: BlobDamage[] = [];
      // Another node that shares the folder may have taken the bytes in again.
      for (const damage of [...known, ...missing.values()]) {
        if (await found(blobFile(damage.sha256))) missing.delete(damage.sha256);
        else if (!open.some(({ sha256 }) => sha256 === damage.sha256)) open.push(damage);
      }
      return open.toSorted((a, b) => a.foundAt - b.foundAt);
    },
  };
}

function corrupt(sha256: Sha256, what: string, problem: BlobDamage['problem']): LeonoreError {
  return new LeonoreError(
    'storage.corrupt',
    `the blob ${sha256} ${what}; publish the same build again to bring its bytes back, or restore the blob folder from a backup`,
    { details: { sha256, problem } },
  );
}
