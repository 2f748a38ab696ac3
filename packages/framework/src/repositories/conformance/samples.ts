/** Rows to test with: valid, small, and told apart by what a test gives. */
import { createHash } from 'node:crypto';
import {
  type Artifact,
  artifactManifestSchema,
  DEFAULT_DEADLINES,
  EMPTY_PROFILE,
  type FileEntry,
  type GatewayId,
  type PackageId,
  type Platform,
  type RolloutId,
  type Sha256,
  type Tenant,
} from '@leonore/protocol';
import type { EnrolmentTokenRecord, GatewayRecord, NewTask, PackageRecord, RolloutRecord } from '../contract.ts';

export function sha(text: string): Sha256 {
  return createHash('sha256').update(text).digest('hex') as Sha256;
}

export function tenantNamed(name: string): Tenant {
  return name as Tenant;
}

export function gatewayId(id: string): GatewayId {
  return id as GatewayId;
}

export function artifact(name: string, version: string, platform: Platform = {}, content = ''): Artifact {
  const contentSha256 = sha(`${name} ${version} ${JSON.stringify(platform)} ${content}`);
  return {
    manifest: artifactManifestSchema.parse({ name, version, platform, provides: { java: '17' } }),
    contentSha256,
    unpackedSize: 3,
    fileCount: 1,
    segments: [{ encoding: 'gzip', sha256: sha(`gzip ${contentSha256}`), size: 10 }],
    publishedAt: 1000,
  };
}

export function file(path: string): FileEntry {
  return { path, mode: 0o644, size: path.length, sha256: sha(path) };
}

export function packageRecord(seed: string, createdAt = 1000): PackageRecord {
  const id = `p-${sha(seed).slice(0, 32)}` as PackageId;
  return {
    summary: {
      id,
      format: 'tar.zst',
      encoding: 'zstd',
      fileName: `${id}.tar.zst`,
      sha256: sha(`header ${seed}`),
      size: 2 ** 40,
      headerSize: 20,
      gatewayClass: 'linux-x64-any-zstd',
      components: [{ name: 'svm', version: '1.0.0' }],
      createdAt,
    },
    manifest: {
      schemaVersion: 1,
      id,
      encoding: 'zstd',
      gatewayClass: { id: 'linux-x64-any-zstd', platform: { os: 'linux' } },
      components: [],
      keep: [],
      remove: [],
      payloadSize: 0,
    },
    parts: [
      { kind: 'own', length: 20 },
      { kind: 'blob', sha256: sha(`segment ${seed}`), length: 2 ** 40 - 20 },
    ],
    own: Buffer.from(seed.padEnd(20).slice(0, 20)),
    bases: [{ name: 'svm', contentSha256: sha(`base ${seed}`) }],
  };
}

export function gateway(id: string, more: Partial<GatewayRecord> = {}): GatewayRecord {
  return {
    id: gatewayId(id),
    profile: EMPTY_PROFILE,
    labels: {},
    origin: 'enrolled',
    enrolledAt: 1000,
    desired: [],
    ...more,
  };
}

export function token(id: string, more: Partial<EnrolmentTokenRecord> = {}): EnrolmentTokenRecord {
  return { id, usesLeft: 1, labels: { site: 'vienna' }, createdAt: 1000, expiresAt: 2000, tokenHash: sha(id), ...more };
}

export function rollout(more: Partial<Omit<RolloutRecord, 'id'>> = {}): Omit<RolloutRecord, 'id'> {
  return {
    applications: [],
    remove: ['old'],
    selector: '*',
    strategy: 'auto',
    deadlines: DEFAULT_DEADLINES,
    upgrade: false,
    state: 'running',
    planned: false,
    blockers: [],
    createdAt: 1000,
    ...more,
  };
}

export function task(rollout: RolloutId, gateway: string, more: Partial<NewTask> = {}): NewTask {
  return {
    rollout,
    gateway: gatewayId(gateway),
    state: 'pending',
    strategy: 'pull',
    classKey: 'class',
    canceling: false,
    createdAt: 1000,
    updatedAt: 1000,
    ...more,
  };
}
