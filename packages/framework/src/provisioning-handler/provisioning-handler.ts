import { setTimeout as sleep } from 'node:timers/promises';
import {
  LeonoreError,
  type ApplicationRequest,
  type ExplainClassesAnswer,
  type GatewayId,
  type Page,
  type Resolution,
  type RolloutId,
  type Task,
  type TaskId,
  type TaskState,
  type Tenant,
} from '@leonore/protocol';
import type { Solver } from '../dependency-management/mod.ts';
import type { EventBus } from '../events/mod.ts';
import type { GatewayPush, GatewayTasks } from '../gateway-handler/mod.ts';
import type { GatewayChange, GatewayManagement } from '../gateway-management/mod.ts';
import type { Deltas, PackageBuilder } from '../package-builder/mod.ts';
import type { PageQuery, Repositories, TaskRecord } from '../repositories/mod.ts';
import { type ArtifactGraph, createArtifactGraph } from './artifact-graph.ts';
import { createClassExplanation } from './class-explanation.ts';
import { createDeadlineWatch } from './deadlines.ts';
import { createPlanner } from './planner.ts';
import { presentTask } from './presentation.ts';
import { createDeltaPreparation } from './prepare-deltas.ts';
import { createProgress } from './progress.ts';
import { createRolloutPlanning } from './rollout-planning.ts';
import { createRollouts, type Rollouts } from './rollouts.ts';
import { createPullStrategy, createPushStrategy } from './strategies/mod.ts';
import { createTasks } from './tasks.ts';
import { createTurns } from './turns.ts';

export interface ProvisioningOptions {
  /** How often deadlines are looked at, milliseconds. */
  readonly deadlineIntervalMs: number;
  /** How soon after a change a rollout's whole is looked at, milliseconds. */
  readonly progressIntervalMs: number;
  /** Time until planning that failed (a full disk, a database that is away) is tried again, milliseconds. */
  readonly planningRetryMs: number;
  /** Plans of gateway classes that are kept in memory. */
  readonly keptPlans: number;
}

export interface ProvisioningHandler extends AsyncDisposable {
  readonly rollouts: Rollouts;
  /** What gateways do with their tasks. */
  readonly gatewayTasks: GatewayTasks;
  /** Takes up what an earlier run of the node left: unfinished planning and aborts, rollouts whose tasks have all ended. */
  start(): Promise<void>;
  /** A gateway is connected and listens: what waits for it is pushed. */
  gatewayReady(tenant: Tenant, gateway: GatewayId): void;
  explain(
    tenant: Tenant,
    gateway: GatewayId,
    applications: readonly ApplicationRequest[],
    upgrade: boolean,
  ): Promise<Resolution>;
  /** The same for each class of the gateways selected, one solution each. @throws selector.* */
  explainClasses(
    tenant: Tenant,
    selector: string,
    applications: readonly ApplicationRequest[],
    upgrade: boolean,
  ): Promise<ExplainClassesAnswer>;
  /** Who runs, wants and needs an artifact; what it brings in. */
  readonly graph: ArtifactGraph;
  /** The task that the gateway works on, or that waits for it. */
  currentTask(tenant: Tenant, gateway: GatewayId): Promise<Task | undefined>;
  /** @throws task.unknown */
  task(tenant: Tenant, id: TaskId): Promise<Task>;
  listTasks(
    tenant: Tenant,
    query: PageQuery & {
      rollout?: RolloutId;
      gateway?: GatewayId;
      states?: readonly TaskState[] | undefined;
      transitions: boolean;
    },
  ): Promise<Page<Task>>;
}

export function createProvisioningHandler(
  deps: {
    repositories: Repositories;
    builder: PackageBuilder;
    /** Absent: none are offered. */
    deltas?: Deltas;
    gateways: GatewayManagement;
    events: EventBus;
    push: () => GatewayPush | undefined;
    /** Who finds out what gateways need; absent: this thread, a slice at a time. */
    solver?: Solver;
    now: () => number;
    onError: (error: unknown) => void;
  },
  options: ProvisioningOptions,
): ProvisioningHandler {
  const { repositories, gateways, onError } = deps;
  const { activeTasks } = repositories.read.rollouts;
  const stopping = new AbortController();
  const background = new Set<Promise<void>>();
  /** One planning at a time, in the order of the rollouts: for each gateway the task of the older one comes first. */
  const plannings = createTurns();
  /** One change of a gateway at a time. */
  const changes = createTurns();

  const planner = createPlanner(deps, { keptPlans: options.keptPlans });
  const explainClasses = createClassExplanation({ repositories, planner });
  const progress = createProgress(deps, { intervalMs: options.progressIntervalMs });
  const tasks = createTasks({ ...deps, planner, listener: { changed: taskChanged, canceling: taskCanceling } });
  const deadlines = createDeadlineWatch({ ...deps, tasks }, { intervalMs: options.deadlineIntervalMs });
  const pull = createPullStrategy();
  const push = createPushStrategy({ push: deps.push, tasks });
  const planning = createRolloutPlanning({
    ...deps,
    planner,
    tasks,
    prepareDeltas: createDeltaPreparation(deps, stopping.signal),
    onTasks: offerAll,
  });
  const rollouts = createRollouts({
    ...deps,
    planning,
    tasks,
    startPlanning: (tenant, id) => inBackground(plan(tenant, id)),
    release: (tenant, id) => inBackground(release(tenant, id)),
    touch: progress.touch,
  });
  gateways.onChange((change) =>
    inBackground(changes.take(`${change.tenant}/${change.id}`, () => gatewayChanged(change))),
  );

  function inBackground(work: Promise<void>): void {
    const guarded = work
      .catch((error: unknown) => {
        if (!stopping.signal.aborted) onError(error);
      })
      .finally(() => background.delete(guarded));
    background.add(guarded);
  }

  async function plan(tenant: Tenant, id: RolloutId): Promise<void> {
    try {
      await plannings.take(tenant, () => planning.run(tenant, id, stopping.signal));
    } catch (error) {
      if (stopping.signal.aborted) return;
      onError(error);
      inBackground(sleep(options.planningRetryMs, undefined, { signal: stopping.signal }).then(() => plan(tenant, id)));
    }
    progress.touch(tenant, id);
  }

  /** Both ways hear of it: a poll that is held open is answered, a connected gateway gets its push. */
  async function offer(tenant: Tenant, gateway: GatewayId, strategy: TaskRecord['strategy']): Promise<void> {
    await pull.offer(tenant, gateway);
    if (strategy === 'push') await push.offer(tenant, gateway);
  }

  async function offerAll(tenant: Tenant, made: readonly TaskRecord[]): Promise<void> {
    for (const task of made) {
      deps.events.publish(tenant, { type: 'task', task: presentTask(task) });
      progress.touch(tenant, task.rollout);
    }
    const offers = made
      .filter(({ state }) => state === 'pending')
      .map((task) => offer(tenant, task.gateway, task.strategy));
    for (const result of await Promise.allSettled(offers)) if (result.status === 'rejected') onError(result.reason);
  }

  function taskChanged(tenant: Tenant, task: TaskRecord): void {
    progress.touch(tenant, task.rollout);
    if (task.endedAt !== undefined) inBackground(offerNext(tenant, task.gateway));
  }

  function taskCanceling(tenant: Tenant, task: TaskRecord): void {
    inBackground(pull.cancel(tenant, task.gateway, task.id));
    inBackground(push.cancel(tenant, task.gateway, task.id));
  }

  /** The gateway has finished a task; another one may have waited behind it. */
  async function offerNext(tenant: Tenant, gateway: GatewayId): Promise<void> {
    const [next] = await activeTasks(tenant, gateway);
    if (next) await offer(tenant, gateway, next.strategy);
  }

  /** A rollout goes on after a pause: what waited goes out. */
  async function release(tenant: Tenant, rollout: RolloutId): Promise<void> {
    let cursor: string | undefined;
    do {
      const page = await repositories.read.rollouts.listTasks(tenant, {
        rollout,
        states: ['pending'],
        limit: 500,
        cursor,
      });
      await offerAll(tenant, page.items);
      cursor = page.next;
    } while (cursor !== undefined);
  }

  async function gatewayChanged({ tenant, id, kind, installedChanged }: GatewayChange): Promise<void> {
    if (kind === 'connected' || kind === 'disconnected') {
      deps.events.publish(tenant, {
        type: 'gateway',
        gateway: { id, connected: kind === 'connected', lastSeenAt: deps.now() },
      });
      return;
    }
    if (kind === 'removed') {
      await cancelAll(tenant, id);
      // Planning that read of it before it was removed may have made it a task since.
      await plannings.settled(tenant);
      return cancelAll(tenant, id);
    }
    const gateway = await repositories.read.gateways.find(tenant, id);
    if (!gateway) return;
    // Planning may have gone past this gateway before it came; what it did not miss has a task by then.
    await plannings.settled(tenant);
    for (const { tenant: owner, rollout } of await repositories.read.rollouts.inStates(['running', 'paused'])) {
      if (owner === tenant) await planning.join(tenant, rollout, gateway);
    }
    if (installedChanged) await repair(tenant, id);
  }

  async function cancelAll(tenant: Tenant, gateway: GatewayId): Promise<void> {
    // A last report may move a task under our hands: then it is asked for again.
    for (
      let active = await activeTasks(tenant, gateway);
      active.length > 0;
      active = await activeTasks(tenant, gateway)
    )
      for (const task of active) await tasks.end(tenant, task, 'canceled', 'the gateway was removed');
  }

  /**
   * A gateway that drifted (was flashed again, was changed by hand) gets a task by itself; not while one is at work, and
   * not after one that failed: that would only fail again.
   */
  async function repair(tenant: Tenant, id: GatewayId): Promise<void> {
    const last = await repositories.read.rollouts.lastTask(tenant, id);
    if (last?.state !== 'succeeded') return;
    const gateway = await gateways.get(tenant, id);
    const newest = gateway.desired.reduce<RolloutId | undefined>(
      (found, { rollout }) => (found === undefined || rollout > found ? rollout : found),
      undefined,
    );
    if (newest === undefined) return;
    const rollout = await repositories.read.rollouts.find(tenant, newest);
    if (rollout) await planning.repair(tenant, rollout, gateway);
  }

  const gatewayTasks: GatewayTasks = { ...tasks, untilWork: pull.untilWork };

  return {
    rollouts,
    gatewayTasks,
    async start() {
      for (const { tenant, rollout } of await repositories.read.rollouts.inStates(['running', 'paused'])) {
        if (rollout.planned) progress.touch(tenant, rollout.id);
        else inBackground(plan(tenant, rollout.id));
      }
      for (const { tenant, rollout } of await repositories.read.rollouts.inStates(['aborted'])) {
        if (await repositories.read.rollouts.hasActiveTasks(tenant, rollout.id))
          inBackground(rollouts.finishAbort(tenant, rollout.id));
      }
    },
    gatewayReady: (tenant, gateway) => inBackground(offerNextPush(tenant, gateway)),
    async explain(tenant, id, applications, upgrade) {
      const gateway = await gateways.get(tenant, id);
      return planner.resolve(tenant, gateway, { applications, remove: [], upgrade });
    },
    explainClasses: (tenant, selector, applications, upgrade) =>
      explainClasses(tenant, selector, { applications, remove: [], upgrade }),
    graph: createArtifactGraph({ repositories, planner }),
    async currentTask(tenant, gateway) {
      const [task] = await activeTasks(tenant, gateway);
      return task && presentTask(task);
    },
    async task(tenant, id) {
      const task = await repositories.read.rollouts.findTask(tenant, id);
      if (!task) throw new LeonoreError('task.unknown', `there is no task ${id}`);
      return presentTask(task, await repositories.read.rollouts.transitions(tenant, id));
    },
    async listTasks(tenant, { transitions, ...query }) {
      const page = await repositories.read.rollouts.listTasks(tenant, query);
      const items = await Promise.all(
        page.items.map(async (task) =>
          presentTask(task, transitions ? await repositories.read.rollouts.transitions(tenant, task.id) : undefined),
        ),
      );
      return { ...page, items };
    },
    async [Symbol.asyncDispose]() {
      stopping.abort();
      await deadlines[Symbol.asyncDispose]();
      while (background.size > 0) await Promise.allSettled(background);
      await progress[Symbol.asyncDispose]();
    },
  };

  /** At a (re)connection: unless its rollout asked for pull only, what waits for the gateway is pushed. */
  async function offerNextPush(tenant: Tenant, gateway: GatewayId): Promise<void> {
    const [next] = await activeTasks(tenant, gateway);
    if (!next) return;
    const rollout = await repositories.read.rollouts.find(tenant, next.rollout);
    if (rollout && rollout.strategy !== 'pull') await push.offer(tenant, gateway);
  }
}
