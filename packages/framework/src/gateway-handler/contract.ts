/** What the gateway handler needs of whoever decides on tasks, and what it offers to whoever pushes. */
import type {
  DdiConfirmationFeedback,
  DdiDeployment,
  DdiFeedback,
  GatewayId,
  Strategy,
  TaskId,
  Tenant,
} from '@leonore/protocol';
import type { OfferedDelta } from '../package-builder/mod.ts';
import type { PackageHashes, PackageRecord } from '../repositories/mod.ts';

/** What a gateway shall do now. `revision` changes when it must be looked at again. */
export type CurrentWork =
  | {
      readonly kind: 'deployment';
      readonly task: TaskId;
      readonly revision: number;
      /** Time until its maintenance window opens, ms; absent when nothing holds it back. */
      readonly opensInMs?: number | undefined;
    }
  /** The gateway is asked whether it agrees. */
  | { readonly kind: 'confirmation'; readonly task: TaskId; readonly revision: number }
  | { readonly kind: 'cancel'; readonly task: TaskId }
  | { readonly kind: 'none' };

/** What a gateway shall do of its own accord, as DDI says it. */
export type DeliveryHandling = Pick<DdiDeployment['deployment'], 'download' | 'update' | 'maintenanceWindow'>;

/** A task with everything that its document tells. */
export interface TaskDelivery {
  readonly task: TaskId;
  readonly package: PackageRecord;
  readonly hashes: PackageHashes;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
  readonly handling: DeliveryHandling;
  /** What the gateway may take instead of segments. */
  readonly deltas: readonly OfferedDelta[];
}

/** What was said of a task so far, newest first. */
export interface TaskHistory {
  readonly status: string;
  readonly messages: readonly string[];
}

export interface GatewayTasks {
  current(tenant: Tenant, gateway: GatewayId): Promise<CurrentWork>;
  /** Fulfilled when there may be work, or when the signal ends it. */
  untilWork(tenant: Tenant, gateway: GatewayId, signal: AbortSignal): Promise<void>;
  /** The last task whose package was installed. */
  installedTask(tenant: Tenant, gateway: GatewayId): Promise<TaskId | undefined>;
  /**
   * The gateway fetches its task: it counts as offered from now on. One that has ended is told once more, with nothing to
   * do about it. @throws task.unknown
   */
  deliver(tenant: Tenant, gateway: GatewayId, task: TaskId, by: Strategy): Promise<TaskDelivery>;
  /** @throws task.unknown */
  history(tenant: Tenant, gateway: GatewayId, task: TaskId): Promise<TaskHistory>;
  /** A task of this gateway that ended, unless it was canceled. @throws task.unknown */
  installed(tenant: Tenant, gateway: GatewayId, task: TaskId): Promise<TaskDelivery>;
  /** What a task that is under way or installed brings. @throws task.unknown */
  module(tenant: Tenant, gateway: GatewayId, task: TaskId): Promise<TaskDelivery>;
  /**
   * The package of a task that this gateway may download now; if the file that it asks for
   * `begins` its download, the task says so from now on. @throws task.unknown */
  download(
    tenant: Tenant,
    gateway: GatewayId,
    task: TaskId,
    begins: (fileName: string) => boolean,
  ): Promise<{ package: PackageRecord; hashes: PackageHashes }>;
  /** @throws task.unknown, task.closed */
  feedback(tenant: Tenant, gateway: GatewayId, task: TaskId, feedback: DdiFeedback): Promise<void>;
  /** What waits for this gateway's agreement. @throws task.unknown */
  confirmation(tenant: Tenant, gateway: GatewayId, task: TaskId): Promise<TaskDelivery>;
  /** Its agreement, or its refusal: then it goes on waiting. @throws task.unknown, task.closed, quota.exceeded */
  confirm(tenant: Tenant, gateway: GatewayId, task: TaskId, feedback: DdiConfirmationFeedback): Promise<void>;
  /** @throws task.unknown unless it is being or was canceled */
  cancelRequested(tenant: Tenant, gateway: GatewayId, task: TaskId): Promise<void>;
  /** @throws task.unknown, task.state unless it is being or was canceled */
  cancelFeedback(tenant: Tenant, gateway: GatewayId, task: TaskId, feedback: DdiFeedback): Promise<void>;
}

export interface GatewayPush {
  /** Connected to this node now. */
  isConnected(tenant: Tenant, gateway: GatewayId): boolean;
  /** False when the gateway is not connected to this node; true says no more than that the message is on its way. */
  pushTask(tenant: Tenant, gateway: GatewayId, delivery: TaskDelivery): Promise<boolean>;
  pushCancel(tenant: Tenant, gateway: GatewayId, task: TaskId): Promise<boolean>;
}
