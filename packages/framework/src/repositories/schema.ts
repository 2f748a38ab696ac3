/**
 * The tables as Kysely's types, one set for both dialects, and how values lie in them: JSON as text, times as integer
 * milliseconds since 1970, truth as 0 or 1, what is absent as null. migrations.ts creates them.
 */
import type {
  ApplicationRequest,
  Artifact,
  Deadlines,
  FileEntry,
  GatewayId,
  GatewayProfile,
  Handling,
  Labels,
  PackageContents,
  PackageId,
  PackageSummary,
  RolloutId,
  RolloutState,
  RolloutStrategy,
  Sha256,
  Strategy,
  TaskCondition,
  TaskId,
  TaskState,
  Tenant,
} from '@leonore/protocol';
import type { Generated, Kysely } from 'kysely';
import type {
  AutoConfirm,
  DeltaRecord,
  DesiredApplication,
  GatewayRecord,
  PackageBase,
  PackageHashes,
  PackagePart,
  RolloutBlocker,
  TaskFacts,
} from './contract.ts';

export type Db = Kysely<Tables>;

/** Text that holds the JSON of a `T`. */
export type Json<T> = string & { readonly __holds?: T };

export function toJson<T>(value: T): Json<T> {
  return JSON.stringify(value);
}

/** Trusted: only `toJson` writes these columns. */
export function fromJson<T>(text: Json<T>): T {
  return JSON.parse(text) as T;
}

export type Flag = 0 | 1;

export function toFlag(value: boolean): Flag {
  return value ? 1 : 0;
}

/** The members that are not null: an absent member rather than one that is undefined. */
export function present<T extends object>(members: T): { [K in keyof T]?: NonNullable<T[K]> } {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== null)) as {
    [K in keyof T]?: NonNullable<T[K]>;
  };
}

/** PostgreSQL's text cannot hold U+0000, which is fine in JSON. */
export function plainText<T extends string>(text: T): T {
  return text.replaceAll('\0', '\uFFFD') as T;
}

export interface Tables {
  counters: CounterTable;
  artifacts: ArtifactTable;
  artifact_files: ArtifactFilesTable;
  artifact_segments: ArtifactSegmentTable;
  packages: PackageTable;
  package_uses: PackageUseTable;
  deltas: DeltaTable;
  gateways: GatewayTable;
  gateway_facts: GatewayFactTable;
  enrolment_tokens: EnrolmentTokenTable;
  rollouts: RolloutTable;
  tasks: TaskTable;
  task_transitions: TaskTransitionTable;
}

/** Numbers that only rise: rollout ids, the artifact repository's revision. */
export interface CounterTable {
  tenant: Tenant;
  name: 'rollout' | 'artifact-revision';
  value: number;
}

/** One row for each build. Only withdrawn_at and withdrawn_reason ever change. */
export interface ArtifactTable {
  tenant: Tenant;
  name: string;
  version: string;
  platform: string;
  /** Sorts as semver.org orders versions. */
  version_order: string;
  content_sha256: Sha256;
  artifact: Json<Omit<Artifact, 'withdrawnAt' | 'withdrawnReason'>>;
  withdrawn_at: number | null;
  withdrawn_reason: string | null;
}

export interface ArtifactFilesTable {
  tenant: Tenant;
  content_sha256: Sha256;
  files: Json<readonly FileEntry[]>;
}

export interface ArtifactSegmentTable {
  sha256: Sha256;
  tenant: Tenant;
  name: string;
  version: string;
  platform: string;
}

export interface PackageTable {
  tenant: Tenant;
  id: PackageId;
  /** Of the header. */
  sha256: Sha256;
  created_at: number;
  summary: Json<PackageSummary>;
  /** Components without their files: artifact_files has them. Packages of former versions have them here. */
  manifest: Json<PackageContents>;
  parts: Json<readonly PackagePart[]>;
  hashes: Json<PackageHashes> | null;
  bases: Json<readonly PackageBase[]>;
  own: Uint8Array;
}

/** One row for each package, apart from it: what is noted with every page of tasks writes no package anew. */
export interface PackageUseTable {
  tenant: Tenant;
  id: PackageId;
  used_at: number;
}

export interface DeltaTable {
  from_sha256: Sha256;
  to_sha256: Sha256;
  state: DeltaRecord['state'];
  sha256: Sha256 | null;
  size: number;
  from_size: number;
  to_size: number;
  made_at: number;
  used_at: number;
}

export interface GatewayTable {
  tenant: Tenant;
  id: GatewayId;
  token_hash: string | null;
  origin: GatewayRecord['origin'];
  enrolled_at: number;
  last_seen_at: number | null;
  connected_node: string | null;
  labels: Json<Labels>;
  desired: Json<readonly DesiredApplication[]>;
  profile: Json<GatewayProfile>;
  auto_confirm: Json<AutoConfirm> | null;
  attributes_known: Flag;
}

/** What selectors look at; derived from profile and labels whenever they change. */
export interface GatewayFactTable {
  tenant: Tenant;
  gateway_id: GatewayId;
  key: string;
  value: string;
}

export interface EnrolmentTokenTable {
  tenant: Tenant;
  id: string;
  token_hash: string;
  uses_left: number;
  labels: Json<Labels>;
  created_at: number;
  expires_at: number;
}

export interface RolloutTable {
  tenant: Tenant;
  id: RolloutId;
  state: RolloutState;
  applications: Json<readonly ApplicationRequest[]>;
  remove: Json<readonly string[]>;
  selector: string;
  strategy: RolloutStrategy;
  deadlines: Json<Deadlines>;
  upgrade: Flag;
  handling: Json<Handling> | null;
  plan_cursor: string | null;
  planned: Flag;
  blockers: Json<readonly RolloutBlocker[]>;
  created_at: number;
  ended_at: number | null;
}

/** Invariant: ended_at is null exactly while the state is active; partial indexes rely on it. */
export interface TaskTable {
  id: Generated<TaskId>;
  tenant: Tenant;
  rollout: RolloutId;
  gateway: GatewayId;
  state: TaskState;
  strategy: Strategy;
  delivered_by: Strategy | null;
  class_key: string;
  package: PackageId | null;
  canceling: Flag;
  created_at: number;
  updated_at: number;
  ended_at: number | null;
  deadline_at: number | null;
  message: string | null;
  condition: TaskCondition | null;
}

export interface TaskTransitionTable {
  id: Generated<number>;
  tenant: Tenant;
  task: TaskId;
  state: TaskState;
  at: number;
  messages: Json<readonly string[]>;
  facts: Json<TaskFacts> | null;
}
