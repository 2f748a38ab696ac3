/** What the gateway handler needs of whoever decides on tasks, and what it offers to whoever pushes. */
import type { DdiFeedback, GatewayId, Strategy, TaskId, Tenant } from '@leonore/protocol';
import type { PackageHashes, PackageRecord } from '../repositories/mod.ts';

/** What a gateway shall do now. `revision` changes when it must be looked at again. */
export type CurrentWork =
  | { readonly kind: 'deployment'; readonly task: TaskId; readonly revision: number }
  | { readonly kind: 'cancel'; readonly task: TaskId }
  | { readonly kind: 'none' };

/** A task with everything that its document tells. */
export interface TaskDelivery {
  readonly task: TaskId;
  readonly package: PackageRecord;
  readonly hashes: PackageHashes;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
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
  /** The last succeeded task, when nothing is going on. */
  installedTask(tenant: Tenant, gateway: GatewayId): Promise<TaskId | undefined>;
  /** The gateway fetches its task: it counts as offered from now on. @throws task.unknown */
  deliver(tenant: Tenant, gateway: GatewayId, task: TaskId, by: Strategy): Promise<TaskDelivery>;
  /** @throws task.unknown */
  history(tenant: Tenant, gateway: GatewayId, task: TaskId): Promise<TaskHistory>;
  /** A task of this gateway that ended with success. @throws task.unknown */
  installed(tenant: Tenant, gateway: GatewayId, task: TaskId): Promise<TaskDelivery>;
  /** The package of a task that this gateway may download now; with `begins` it does. @throws task.unknown */
  download(
    tenant: Tenant,
    gateway: GatewayId,
    task: TaskId,
    begins: boolean,
  ): Promise<{ package: PackageRecord; hashes: PackageHashes }>;
  /** @throws task.unknown, task.closed */
  feedback(tenant: Tenant, gateway: GatewayId, task: TaskId, feedback: DdiFeedback): Promise<void>;
  /** @throws task.unknown unless it is being canceled */
  cancelRequested(tenant: Tenant, gateway: GatewayId, task: TaskId): Promise<void>;
  /** @throws task.unknown, task.closed, task.state when it is not being canceled */
  cancelFeedback(tenant: Tenant, gateway: GatewayId, task: TaskId, feedback: DdiFeedback): Promise<void>;
}

export interface GatewayPush {
  /** Connected to this node now. */
  isConnected(tenant: Tenant, gateway: GatewayId): boolean;
  /** False when the gateway is not connected to this node; true says no more than that the message is on its way. */
  pushTask(tenant: Tenant, gateway: GatewayId, delivery: TaskDelivery): Promise<boolean>;
  pushCancel(tenant: Tenant, gateway: GatewayId, task: TaskId): Promise<boolean>;
}
