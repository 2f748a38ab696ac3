/**
 * What the repositories promise, whatever driver is under them (SQLite, PostgreSQL). One conformance suite holds every
 * driver to it. Every row belongs to a tenant. The database is the only truth; anything in memory is a hint.
 *
 * `read` sees committed data. `write` runs its work in one durable transaction: when its promise is fulfilled the data
 * is on disk; writes that wait at the same time share one commit; work that throws leaves no trace and does not disturb
 * the others. Work does database calls only and no waiting of another kind, begins no other write, and may be run again
 * when it lost against another: so nothing is lost of a row that many read and then change.
 */
import type {
  ApplicationRequest,
  Artifact,
  Deadlines,
  EnrolmentToken,
  Explanation,
  FileEntry,
  GatewayId,
  GatewayProfile,
  Handling,
  Labels,
  PackageContents,
  PackageId,
  PackageSummary,
  Page,
  RolloutId,
  RolloutState,
  RolloutStrategy,
  Segment,
  Selector,
  Sha256,
  Strategy,
  TaskCondition,
  TaskCounts,
  TaskId,
  TaskState,
  TaskTransition,
  Tenant,
} from '@leonore/protocol';

export interface Repositories extends AsyncDisposable {
  readonly read: RepositorySet;
  write<T>(work: (repositories: RepositorySet) => Promise<T>): Promise<T>;
  /** Throws when the database does not answer. */
  ping(): Promise<void>;
}

export interface RepositorySet {
  readonly artifacts: ArtifactRepository;
  readonly packages: PackageRepository;
  readonly deltas: DeltaRepository;
  readonly gateways: GatewayRepository;
  readonly rollouts: RolloutRepository;
}

export interface PageQuery {
  readonly cursor?: string | undefined;
  readonly limit: number;
}

export interface ArtifactRepository {
  /** `same`: this build is there with the same content and manifest. `conflict`: it is there with another. */
  insert(tenant: Tenant, artifact: Artifact, files: readonly FileEntry[]): Promise<'created' | 'same' | 'conflict'>;
  /** Every file of the build with this content, as it was inserted; kept apart since lists and the resolver need none. */
  files(tenant: Tenant, contentSha256: Sha256): Promise<readonly FileEntry[]>;
  /** Every build of a name, or of one version of it, withdrawn ones included; newest version first. */
  builds(tenant: Tenant, name: string, version?: string): Promise<readonly Artifact[]>;
  list(tenant: Tenant, query: PageQuery & { name?: string | undefined }): Promise<Page<Artifact>>;
  /**
   * All builds of the tenant, for the resolver's catalogue, in the order of `list`. Read in pages between which the event
   * loop gets its turn: what is published meanwhile may be there or not, so read `revision` before and after.
   */
  all(tenant: Tenant): Promise<readonly Artifact[]>;
  /** Rises with each publication and withdrawal of the tenant; 0 before the first. */
  revision(tenant: Tenant): Promise<number>;
  /** Withdraws every build of the version. Number of builds newly withdrawn. */
  withdraw(tenant: Tenant, name: string, version: string, at: number, reason: string): Promise<number>;
  /** Builds of any tenant that use one of these blobs as a segment. */
  segmentUsers(sha256s: readonly Sha256[]): Promise<readonly SegmentUser[]>;
  /** Digests of segments of any tenant, each once, in order; those behind `after`. */
  segmentDigests(after: Sha256 | undefined, limit: number): Promise<readonly Sha256[]>;
}

export interface SegmentUser {
  readonly tenant: Tenant;
  readonly artifact: Artifact;
  readonly segment: Segment;
}

/** A piece of a package, in order: bytes of its own (a header, a trailer), or a blob that others may share (a segment). */
export type PackagePart =
  | { readonly kind: 'own'; readonly length: number }
  | { readonly kind: 'blob'; readonly sha256: Sha256; readonly length: number };

/** Digests of the whole package file, lower-case hex; what DDI clients of other makers compare. */
export interface PackageHashes {
  readonly sha1: string;
  readonly md5: string;
  readonly sha256: string;
}

export interface PackageRecord {
  readonly summary: PackageSummary;
  /** Each component has the files of its build in the artifact repository. */
  readonly manifest: PackageContents;
  readonly parts: readonly PackagePart[];
  /** What the own parts consist of, one after another. */
  readonly own: Uint8Array;
  /** Builds that its updates replace, as far as the repository has them. */
  readonly bases: readonly PackageBase[];
  /** Made at the first delivery: composing costs the header only. */
  readonly hashes?: PackageHashes | undefined;
}

export interface PackageBase {
  readonly name: string;
  readonly contentSha256: Sha256;
}

/** A package that nothing needs, as it was found: compared again when it is removed. */
export interface UnneededPackage {
  readonly tenant: Tenant;
  readonly id: PackageId;
  readonly usedAt: number;
}

/** A place in the order of all tenants' packages. */
export type PackagePlace = Pick<UnneededPackage, 'tenant' | 'id'>;

/**
 * A package is needed while an active task refers to it, and while it is what a gateway installed last. It is removed
 * only when it was not used either since it was found without need: so whoever makes a task with it uses it in the same
 * transaction.
 */
export interface PackageRepository {
  /** False when it was there already (the same id is the same package). Counts as its first use. */
  insert(tenant: Tenant, record: PackageRecord): Promise<boolean>;
  find(tenant: Tenant, id: PackageId): Promise<PackageRecord | undefined>;
  has(tenant: Tenant, id: PackageId): Promise<boolean>;
  /** By the digest of its header, in any tenant. */
  findByDigest(sha256: Sha256): Promise<PackageRecord | undefined>;
  setHashes(tenant: Tenant, id: PackageId, hashes: PackageHashes): Promise<void>;
  list(tenant: Tenant, query: PageQuery): Promise<Page<PackageSummary>>;
  /**
   * Notes that they are used at `at`; a use noted less than `freshForMs` before is not noted again. Those that are there:
   * a task must not be made with another.
   */
  use(tenant: Tenant, ids: readonly PackageId[], at: number, freshForMs?: number): Promise<ReadonlySet<PackageId>>;
  /** Looks at `limit` packages of every tenant that were not used after `until` (ms). `next`: there are more to look at. */
  unneeded(query: {
    until: number;
    after?: PackagePlace | undefined;
    limit: number;
  }): Promise<{ unneeded: readonly UnneededPackage[]; next?: PackagePlace | undefined }>;
  /** Those that were used meanwhile stay. The ones removed, and the bytes of their own. */
  remove(found: readonly UnneededPackage[]): Promise<readonly (PackagePlace & { bytes: number })[]>;
  /** How many there are, of every tenant. */
  count(): Promise<number>;
  /** Blobs that packages of every tenant consist of, page by page; one may come more than once. */
  blobs(
    after: PackagePlace | undefined,
    limit: number,
  ): Promise<{ blobs: readonly Sha256[]; next?: PackagePlace | undefined }>;
}

/** Two builds of one artifact, by the digest of their content. */
export interface DeltaPair {
  readonly from: Sha256;
  readonly to: Sha256;
}

/** What is known of the delta between two builds. */
export interface DeltaRecord extends DeltaPair {
  /**
   * `useless`: it would save nothing worth the while. `failed`: none was made, or one is being made: it counts as failed
   * until it is stored, so that one that takes the process down with it is not tried again at once.
   */
  readonly state: 'ready' | 'useless' | 'failed';
  /** Of its bytes; named before they are stored, so that whoever finds them there finds who needs them. */
  readonly sha256?: Sha256 | undefined;
  readonly size: number;
  /** Of the old and the new tar, bytes; 0 when not known. */
  readonly fromSize: number;
  readonly toSize: number;
  readonly madeAt: number;
  readonly usedAt: number;
}

/** Belongs to no tenant: the same two contents make the same delta, and who may have it is decided by their builds. */
export interface DeltaRepository {
  find(pair: DeltaPair): Promise<DeltaRecord | undefined>;
  /** Adds it, or puts it in the place of what was known of the pair. */
  put(record: DeltaRecord): Promise<void>;
  /** False when it is another by now. */
  remove(record: DeltaRecord): Promise<boolean>;
  /** Those that failed were of no use to anybody. */
  use(pairs: readonly DeltaPair[], at: number): Promise<void>;
  /** What was not used since `usedBefore` (ms), the least recently used first. */
  list(query: {
    states: readonly DeltaRecord['state'][];
    usedBefore: number;
    after?: DeltaRecord | undefined;
    limit: number;
  }): Promise<readonly DeltaRecord[]>;
  /** Of those that have bytes. */
  totals(): Promise<{ count: number; bytes: number }>;
  /** Those of the blobs that are a delta's bytes, be it one that is being stored. */
  uses(sha256s: readonly Sha256[]): Promise<ReadonlySet<Sha256>>;
  /** What a delta can be made of, whosever build it is. */
  build(contentSha256: Sha256): Promise<Pick<Artifact, 'segments' | 'unpackedSize'> | undefined>;
}

export interface GatewayRecord {
  readonly id: GatewayId;
  readonly profile: GatewayProfile;
  /** The operator's. */
  readonly labels: Labels;
  /** Hex SHA-256 of the token; absent when it comes with a GatewayToken only. */
  readonly tokenHash?: string | undefined;
  /** How it came: LEONORE's agent, made by an operator, or plug and play over DDI. */
  readonly origin: 'enrolled' | 'created' | 'ddi';
  readonly enrolledAt: number;
  readonly lastSeenAt?: number | undefined;
  /** The node that holds its push connection; absent = not connected. */
  readonly connectedNode?: string | undefined;
  /** What it shall have, in the order it was asked for. */
  readonly desired: readonly DesiredApplication[];
  /** Every task is confirmed in its name (DDI's auto-confirm); absent = it is asked. */
  readonly autoConfirm?: AutoConfirm | undefined;
  /** It sent its attributes since they were asked for (DDI's configData); absent = the next poll asks. */
  readonly attributesKnown?: true | undefined;
}

/** Who decided that a gateway need not be asked, and when (ms). */
export interface AutoConfirm {
  readonly initiator?: string | undefined;
  readonly remark?: string | undefined;
  readonly activatedAt: number;
}

export interface DesiredApplication extends ApplicationRequest {
  /** The rollout that asked for it. */
  readonly rollout: RolloutId;
}

export interface EnrolmentTokenRecord extends Omit<EnrolmentToken, 'token'> {
  /** Hex SHA-256. */
  readonly tokenHash: string;
}

export interface GatewayRepository {
  /** False when the id is taken. */
  insert(tenant: Tenant, record: GatewayRecord): Promise<boolean>;
  find(tenant: Tenant, id: GatewayId): Promise<GatewayRecord | undefined>;
  findMany(tenant: Tenant, ids: readonly GatewayId[]): Promise<readonly GatewayRecord[]>;
  /**
   * In order of id. `selector` runs over the operator's labels, then the gateway's own, then profile facts; `app/NAME` is
   * the installed version of an artifact and comes from the profile's `installed` alone.
   */
  list(tenant: Tenant, query: PageQuery & { selector?: Selector | undefined }): Promise<Page<GatewayRecord>>;
  count(tenant: Tenant, selector?: Selector): Promise<number>;
  /** Keys that some gateway can be selected by. */
  selectorKeys(tenant: Tenant): Promise<readonly string[]>;
  /** Versions of an artifact that gateways have installed, and on how many; counted in the database. */
  installedVersions(tenant: Tenant, name: string): Promise<readonly { version: string; gateways: number }[]>;
  /** The first gateways by id that have one of these versions (of which the first 500 count). */
  gatewaysRunning(
    tenant: Tenant,
    name: string,
    versions: readonly string[],
    limit: number,
  ): Promise<readonly { id: GatewayId; version: string }[]>;
  setProfile(tenant: Tenant, id: GatewayId, profile: GatewayProfile): Promise<void>;
  setLabels(tenant: Tenant, id: GatewayId, labels: Labels): Promise<void>;
  /** False when it is so already: on is not put on again. */
  setAutoConfirm(tenant: Tenant, id: GatewayId, autoConfirm: AutoConfirm | undefined): Promise<boolean>;
  setAttributesKnown(tenant: Tenant, id: GatewayId, known: boolean): Promise<void>;
  setTokenHash(tenant: Tenant, id: GatewayId, tokenHash: string): Promise<void>;
  /** Last signs of life, many at once; an older time never replaces a newer one. */
  touch(tenant: Tenant, seen: ReadonlyMap<GatewayId, number>): Promise<void>;
  /** `node` undefined: not connected. With `onlyIfNode`, changes nothing when another node holds it by now. */
  setConnected(tenant: Tenant, id: GatewayId, node: string | undefined, onlyIfNode?: string): Promise<void>;
  /** Clears every connection that this node held (at its start). */
  clearConnections(node: string): Promise<void>;
  /** Adds or replaces applications by name and takes others away, for many gateways. */
  changeDesired(
    tenant: Tenant,
    ids: readonly GatewayId[],
    change: { set: readonly DesiredApplication[]; remove: readonly string[] },
  ): Promise<void>;
  /** Removes it with its desired state; its ended tasks stay. False when there is none. */
  remove(tenant: Tenant, id: GatewayId): Promise<boolean>;

  insertToken(tenant: Tenant, token: EnrolmentTokenRecord): Promise<void>;
  listTokens(tenant: Tenant): Promise<readonly EnrolmentTokenRecord[]>;
  removeToken(tenant: Tenant, id: string): Promise<boolean>;
  /** Takes one use, atomically: of 50 at once on a single-use token one gets it. Undefined: none left, expired or unknown. */
  redeemToken(tenant: Tenant, tokenHash: string, now: number): Promise<EnrolmentTokenRecord | undefined>;
}

export interface RolloutRecord {
  readonly id: RolloutId;
  readonly applications: readonly ApplicationRequest[];
  readonly remove: readonly string[];
  readonly selector: string;
  readonly strategy: RolloutStrategy;
  readonly deadlines: Deadlines;
  readonly upgrade: boolean;
  /** Absent: forced, at once. */
  readonly handling?: Handling | undefined;
  readonly state: RolloutState;
  /** Up to which gateway id tasks were made; absent before the first page. */
  readonly planCursor?: string | undefined;
  readonly planned: boolean;
  readonly blockers: readonly RolloutBlocker[];
  readonly createdAt: number;
  readonly endedAt?: number | undefined;
}

export interface RolloutBlocker {
  readonly gateways: number;
  readonly example: string;
  readonly explanation: Explanation;
}

export interface TaskRecord {
  readonly id: TaskId;
  readonly rollout: RolloutId;
  readonly gateway: GatewayId;
  readonly state: TaskState;
  readonly strategy: Strategy;
  readonly deliveredBy?: Strategy | undefined;
  /** What the plan was made for: when the gateway is another by now, the plan is made again before it is offered. */
  readonly classKey: string;
  readonly package?: PackageId | undefined;
  readonly canceling: boolean;
  readonly condition?: TaskCondition | undefined;
  readonly createdAt: number;
  readonly updatedAt: number;
  readonly endedAt?: number | undefined;
  /** When it fails by itself in its present state; absent once terminal. */
  readonly deadlineAt?: number | undefined;
  readonly message?: string | undefined;
}

export type NewTask = Omit<TaskRecord, 'id'>;

/** What the gateway said of a change of its task, beside the words. */
export type TaskFacts = Pick<TaskTransition, 'progress' | 'outcome'>;

/** Changes beside the state. `undefined` members change nothing. */
export interface TaskChange {
  readonly deliveredBy?: Strategy | undefined;
  readonly package?: PackageId | undefined;
  readonly classKey?: string | undefined;
  readonly canceling?: boolean | undefined;
  readonly condition?: TaskCondition | undefined;
  readonly deadlineAt?: number | undefined;
  /** Kept in the task's history. */
  readonly messages?: readonly string[] | undefined;
  /** What is shown of the task from now on; the last of `messages` when absent. */
  readonly message?: string | undefined;
  /** Kept with `messages`. */
  readonly facts?: TaskFacts | undefined;
}

export interface RolloutRepository {
  insert(tenant: Tenant, rollout: Omit<RolloutRecord, 'id'>): Promise<RolloutId>;
  find(tenant: Tenant, id: RolloutId): Promise<RolloutRecord | undefined>;
  /** Newest first. */
  list(
    tenant: Tenant,
    query: PageQuery & { states?: readonly RolloutState[] | undefined },
  ): Promise<Page<RolloutRecord>>;
  /** Rollouts of every tenant in these states, oldest first: what a node takes up again at its start. */
  inStates(states: readonly RolloutState[]): Promise<readonly { tenant: Tenant; rollout: RolloutRecord }[]>;
  /** Compare and swap: false when the rollout is in none of the states `from`. */
  setState(
    tenant: Tenant,
    id: RolloutId,
    from: readonly RolloutState[],
    to: RolloutState,
    at: number,
  ): Promise<boolean>;
  setPlanning(
    tenant: Tenant,
    id: RolloutId,
    planning: Pick<RolloutRecord, 'planCursor' | 'planned' | 'blockers'>,
  ): Promise<void>;
  counts(tenant: Tenant, id: RolloutId): Promise<Omit<TaskCounts, 'blocked'>>;
  /** True while a task of the rollout is not terminal. */
  hasActiveTasks(tenant: Tenant, id: RolloutId): Promise<boolean>;

  /** At most one task for each gateway and rollout that is not terminal: others are left out. The ones made, with ids, and their first transition. */
  insertTasks(tenant: Tenant, tasks: readonly NewTask[]): Promise<readonly TaskRecord[]>;
  findTask(tenant: Tenant, id: TaskId): Promise<TaskRecord | undefined>;
  /** Its tasks that are not terminal, oldest first: the first is the one the gateway works on. */
  activeTasks(tenant: Tenant, gateway: GatewayId): Promise<readonly TaskRecord[]>;
  /** Of the gateways given, those with a task for this rollout in one of the states. */
  gatewaysWithTask(
    tenant: Tenant,
    id: RolloutId,
    gateways: readonly GatewayId[],
    states: readonly TaskState[],
  ): Promise<ReadonlySet<GatewayId>>;
  /** The newest task of a gateway whose package was installed. */
  lastInstalledTask(tenant: Tenant, gateway: GatewayId): Promise<TaskRecord | undefined>;
  /** Takes `downloaded` off a task that has ended, and notes why. False when it was not on it. */
  settleDownloaded(tenant: Tenant, id: TaskId, at: number, messages: readonly string[]): Promise<boolean>;
  /** The newest task of a gateway, in any state. */
  lastTask(tenant: Tenant, gateway: GatewayId): Promise<TaskRecord | undefined>;
  /** By rollout: oldest first. By gateway: newest first. */
  listTasks(
    tenant: Tenant,
    query: PageQuery & {
      rollout?: RolloutId | undefined;
      gateway?: GatewayId | undefined;
      states?: readonly TaskState[] | undefined;
    },
  ): Promise<Page<TaskRecord>>;
  /** Oldest first. */
  transitions(tenant: Tenant, id: TaskId): Promise<readonly TaskTransition[]>;
  /**
   * Compare and swap: moves the task from exactly `from` to `to` and writes the transition. The new record, or undefined
   * when it was in another state by then. `to` equal to `from` notes messages and changes without a move.
   */
  transition(
    tenant: Tenant,
    id: TaskId,
    from: TaskState,
    to: TaskState,
    at: number,
    change: TaskChange,
  ): Promise<TaskRecord | undefined>;
  /** Active tasks of every tenant whose deadline is not after `now`, oldest deadline first. */
  dueTasks(now: number, limit: number): Promise<readonly { tenant: Tenant; task: TaskRecord }[]>;
  /** The earliest deadline of any active task. */
  nextDeadline(): Promise<number | undefined>;
}

/** A blob whose bytes are not what they were. */
export interface BlobDamage {
  readonly sha256: Sha256;
  readonly problem: 'missing' | 'damaged' | 'unreadable';
  readonly foundAt: number;
}

export type DiskState = 'ok' | 'low' | 'full';

/** Bytes. */
export interface StoreUsage {
  readonly blobs: { readonly count: number; readonly bytes: number };
  /** Begun and not ended, as large as they were announced. */
  readonly uploads: { readonly count: number; readonly bytes: number };
  /** Most that blobs and uploads may hold together; absent = no limit. */
  readonly quota?: number | undefined;
  /** `low`: less than twice `keepFree` is free. `full`: less than `keepFree`, nothing more is taken. */
  readonly disk: {
    readonly total: number;
    readonly free: number;
    readonly keepFree: number;
    readonly state: DiskState;
  };
}

/**
 * Content-addressed bytes: a blob's name is its SHA-256. Written to a temporary file, synced, renamed: whoever finds a
 * blob finds it whole. Uploads are resumed by name.
 *
 * No byte is handed out that is not what was stored. A blob that is found damaged is set aside, so that the same bytes can
 * come in again; that and a missing one are `storage.corrupt`, with `details.sha256` and `details.problem`.
 *
 * A blob is young when it came or was touched lately. Whoever is about to refer to one touches it before, and only old
 * ones are taken away: so nothing is lost between the two.
 */
export interface BlobStore extends AsyncDisposable {
  /** Size in bytes, or undefined when it is not there. */
  size(sha256: Sha256): Promise<number | undefined>;
  /** Stores bytes under their digest; when they are there they become young. @throws storage.quota, storage.full */
  put(bytes: Uint8Array): Promise<Sha256>;
  /** Bytes `start` to `end` (exclusive); whole without. @throws storage.corrupt before the first byte that is wrong */
  read(sha256: Sha256, range?: { start: number; end: number }): AsyncIterable<Uint8Array>;
  /** Whole, in memory: for small ones and for the cache. @throws storage.corrupt */
  bytes(sha256: Sha256): Promise<Uint8Array>;
  /** The blob is there, and all of it was right when it was read first since the start. @throws storage.corrupt */
  prove(sha256: Sha256): Promise<void>;
  /** Reads all of it from the disk, whatever was proven before. @throws storage.corrupt */
  verify(sha256: Sha256): Promise<{ size: number }>;
  /** Makes it young. False when it is not there. */
  touch(sha256: Sha256): Promise<boolean>;
  /** False when it is not there, or is younger than `before` (ms). */
  remove(sha256: Sha256, before?: number): Promise<boolean>;
  /** Every blob there is. */
  list(): AsyncIterable<{ sha256: Sha256; size: number; touchedAt: number }>;
  /** What was found damaged or missing and has not come again, oldest first. */
  damages(): Promise<readonly BlobDamage[]>;
  /** Removes the file that was set aside, and forgets what is missing. */
  forgetDamage(sha256: Sha256): Promise<void>;
  usage(): Promise<StoreUsage>;

  /** Starts or finds the upload of these bytes; `complete` when the blob is there. @throws storage.quota, storage.full */
  openUpload(sha256: Sha256, size: number): Promise<{ offset: number; complete: boolean }>;
  /** Undefined when there is neither such an upload nor such a blob. */
  uploadStatus(sha256: Sha256): Promise<{ size: number; offset: number; complete: boolean } | undefined>;
  /**
   * Adds bytes at `offset`. What arrived before a break is kept. With the last byte the digest is checked: wrong bytes
   * are thrown away (`upload.digest`). Errors: `upload.unknown`, `upload.offset`, `upload.too-large`, `storage.full`.
   */
  appendUpload(
    sha256: Sha256,
    offset: number,
    bytes: AsyncIterable<Uint8Array>,
  ): Promise<{ offset: number; complete: boolean }>;
  /** Removes uploads that nobody continued since `before` (ms) and what processes that died left behind, and counts anew. Uploads removed. */
  tidy(before: number): Promise<number>;
}
