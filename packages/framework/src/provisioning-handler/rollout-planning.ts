/**
 * Makes a rollout's tasks, a page of gateways at a time. Each page is one transaction with the cursor that says how far
 * it went, so a node that dies in between goes on after it, and no gateway gets two tasks.
 */
import {
  ACTIVE_STATES,
  isTerminal,
  parseSelector,
  type Explanation,
  type GatewayId,
  type PackageId,
  type RolloutId,
  type Selector,
  type Tenant,
} from '@leonore/protocol';
import type { PackageBuilder } from '../package-builder/mod.ts';
import type {
  GatewayRecord,
  NewTask,
  Repositories,
  RolloutBlocker,
  RolloutRecord,
  TaskRecord,
} from '../repositories/mod.ts';
import { refusalOf } from './handling.ts';
import { withPackages, type UsePackages } from './package-use.ts';
import type { ClassPlan, Planner } from './planner.ts';
import type { PrepareDeltas } from './prepare-deltas.ts';
import { chooseStrategy } from './strategies/mod.ts';
import { deadline } from './task-moves.ts';
import type { Tasks } from './tasks.ts';
import { NO_CHANGE, supersedes } from './wanted.ts';

const PAGE = 500;
const MAX_BLOCKERS = 20;

export interface RolloutPlanning {
  /** Goes on from where the rollout's planning stands, to its end or until the signal stops it. One run at a time. */
  run(tenant: Tenant, id: RolloutId, signal: AbortSignal): Promise<void>;
  /** Takes in gateways that came to match a running rollout after it began. */
  join(tenant: Tenant, rollout: RolloutRecord, gateway: GatewayRecord): Promise<void>;
  /** A new task that brings back what the gateway shall have, noted under this rollout. */
  repair(tenant: Tenant, rollout: RolloutRecord, gateway: GatewayRecord): Promise<void>;
  /** Plans for the first gateways of the selection, without a trace: how many there are, and why none can be served. */
  preview(tenant: Tenant, rollout: Omit<RolloutRecord, 'id'>): Promise<{ matched: number; explanation?: Explanation }>;
}

export function createRolloutPlanning(deps: {
  repositories: Repositories;
  planner: Planner;
  builder: Pick<PackageBuilder, 'use'>;
  tasks: Pick<Tasks, 'cancel'>;
  now: () => number;
  prepareDeltas: PrepareDeltas;
  /** New tasks are durable: offer them. */
  onTasks: (tenant: Tenant, tasks: readonly TaskRecord[]) => Promise<void>;
}): RolloutPlanning {
  const { repositories, planner, now } = deps;

  /** `advance`: what is noted of the rollout's planning with this page. Nothing is made once the rollout has ended. */
  async function planPage(
    tenant: Tenant,
    rollout: RolloutRecord,
    gateways: readonly GatewayRecord[],
    advance?: (blockers: readonly RolloutBlocker[]) => Planning,
  ): Promise<void> {
    const made = await withPackages(deps, (use) => makePage(tenant, rollout, gateways, advance, use));
    await deps.onTasks(tenant, made);
  }

  async function planFor(
    tenant: Tenant,
    rollout: Omit<RolloutRecord, 'id'>,
    gateway: GatewayRecord,
  ): Promise<ClassPlan> {
    const explanation = refusalOf(rollout.handling, gateway);
    return explanation ? { kind: 'blocked', classKey: '', explanation } : planner.plan(tenant, gateway, rollout);
  }

  async function makePage(
    tenant: Tenant,
    rollout: RolloutRecord,
    gateways: readonly GatewayRecord[],
    advance: ((blockers: readonly RolloutBlocker[]) => Planning) | undefined,
    use: UsePackages,
  ): Promise<readonly TaskRecord[]> {
    const ids = gateways.map(({ id }) => id);
    const served = await repositories.read.rollouts.gatewaysWithTask(tenant, rollout.id, ids, [
      ...ACTIVE_STATES,
      'succeeded',
    ]);
    const waiting = gateways.filter(({ id }) => !served.has(id));
    const plans = await Promise.all(waiting.map((gateway) => planFor(tenant, rollout, gateway)));
    await deps.prepareDeltas(tenant, waiting, plans);
    const busy = await busyOf(
      tenant,
      waiting.filter((_, index) => plans[index]?.kind === 'nothing'),
    );
    const blockers = waiting.reduce(
      (all, gateway, index) => addBlocker(all, gateway.id, plans[index]!),
      rollout.blockers,
    );
    const wanted = waiting.flatMap((gateway, index) =>
      newTask(rollout, gateway, plans[index]!, now(), busy.has(gateway.id)),
    );
    // Before the new ones are made: a node that dies in between makes this page again, and cancels again.
    await supersedeOlder(
      tenant,
      rollout,
      wanted.map(({ gateway }) => gateway),
    );
    return repositories.write(async (set) => {
      const current = await set.rollouts.find(tenant, rollout.id);
      if (!current || !isOpen(current)) return [];
      // A retry may have set the planning back to its start: this page is made again then.
      if (advance && (current.planned || current.planCursor !== rollout.planCursor)) return [];
      await use(set, tenant, packagesOf(wanted));
      const tasks = await set.rollouts.insertTasks(tenant, wanted);
      const done = tasks.filter(({ state }) => state === 'succeeded').map(({ gateway }) => gateway);
      if (done.length > 0) {
        const desired = rollout.applications.map((application) => ({ ...application, rollout: rollout.id }));
        await set.gateways.changeDesired(tenant, done, { set: desired, remove: rollout.remove });
      }
      if (advance) await set.rollouts.setPlanning(tenant, rollout.id, advance(blockers));
      return tasks;
    });
  }

  /** Those at work on something else: what they have is known when that has ended. */
  async function busyOf(tenant: Tenant, gateways: readonly GatewayRecord[]): Promise<ReadonlySet<GatewayId>> {
    const active = await Promise.all(gateways.map(({ id }) => repositories.read.rollouts.activeTasks(tenant, id)));
    return new Set(active.flatMap((tasks) => tasks.map(({ gateway }) => gateway)));
  }

  /** Older tasks of these gateways that have no point any more are canceled; the others come first, then the new one. */
  async function supersedeOlder(tenant: Tenant, rollout: RolloutRecord, gateways: readonly GatewayId[]): Promise<void> {
    for (const other of await repositories.read.rollouts.inStates(['running', 'paused'])) {
      const { id } = other.rollout;
      if (other.tenant !== tenant || id === rollout.id || !supersedes(rollout, other.rollout)) continue;
      const affected = await repositories.read.rollouts.gatewaysWithTask(tenant, id, gateways, ACTIVE_STATES);
      for (const gateway of affected) {
        const older = await repositories.read.rollouts.activeTasks(tenant, gateway);
        await Promise.all(
          older
            .filter((task) => task.rollout === id)
            .map((task) => deps.tasks.cancel(tenant, task, `superseded by rollout ${rollout.id}`)),
        );
      }
    }
  }

  return {
    async run(tenant, id, signal) {
      for (;;) {
        signal.throwIfAborted();
        const rollout = await repositories.read.rollouts.find(tenant, id);
        if (!rollout || rollout.planned || !isOpen(rollout)) return;
        const page = await repositories.read.gateways.list(tenant, {
          selector: parseSelector(rollout.selector),
          limit: PAGE,
          cursor: rollout.planCursor,
        });
        await planPage(tenant, rollout, page.items, (blockers) => ({
          planCursor: page.next,
          planned: page.next === undefined,
          blockers,
        }));
      }
    },
    async join(tenant, rollout, gateway) {
      const selector = onlyOf(parseSelector(rollout.selector), gateway.id);
      const { items } = await repositories.read.gateways.list(tenant, { selector, limit: 1 });
      const [match] = items;
      if (!match) return;
      const known = await repositories.read.rollouts.listTasks(tenant, {
        gateway: gateway.id,
        rollout: rollout.id,
        limit: 1,
      });
      if (known.items.length === 0) await planPage(tenant, rollout, [match]);
    },
    async repair(tenant, rollout, gateway) {
      const made = await withPackages(deps, async (use) => {
        const plan = await planner.plan(tenant, gateway, NO_CHANGE);
        if (plan.kind !== 'package') return [];
        const wanted = newTask(rollout, gateway, plan, now(), false);
        return repositories.write(async (set) => {
          await use(set, tenant, packagesOf(wanted));
          return set.rollouts.insertTasks(tenant, wanted);
        });
      });
      await deps.onTasks(tenant, made);
    },
    async preview(tenant, rollout) {
      const selector = parseSelector(rollout.selector);
      const { items, next } = await repositories.read.gateways.list(tenant, { selector, limit: PAGE });
      let explanation: Explanation | undefined;
      for (const gateway of items) {
        const plan = await planFor(tenant, rollout, gateway);
        if (plan.kind !== 'blocked') return { matched: items.length };
        explanation ??= plan.explanation;
      }
      return next === undefined && explanation ? { matched: items.length, explanation } : { matched: items.length };
    },
  };
}

type Planning = Pick<RolloutRecord, 'planCursor' | 'planned' | 'blockers'>;

function isOpen({ state }: RolloutRecord): boolean {
  return state === 'running' || state === 'paused';
}

/** `busy`: that there is nothing to do may change with what the gateway works on; it is looked at again after that. */
function newTask(
  rollout: RolloutRecord,
  gateway: GatewayRecord,
  plan: ClassPlan,
  now: number,
  busy: boolean,
): NewTask[] {
  if (plan.kind === 'blocked') return [];
  const state = plan.kind === 'package' || busy ? 'pending' : 'succeeded';
  const deadlineAt = deadline(rollout, state, now);
  return [
    {
      rollout: rollout.id,
      gateway: gateway.id,
      state,
      strategy: chooseStrategy(rollout.strategy, gateway),
      classKey: plan.classKey,
      ...(plan.kind === 'package' ? { package: plan.package } : {}),
      ...(state === 'succeeded' ? { message: 'the gateway has everything already' } : {}),
      ...(rollout.handling?.confirm && !isTerminal(state) ? { condition: 'unconfirmed' } : {}),
      canceling: false,
      createdAt: now,
      updatedAt: now,
      ...(deadlineAt === undefined ? {} : { deadlineAt }),
      ...(isTerminal(state) ? { endedAt: now } : {}),
    },
  ];
}

function packagesOf(tasks: readonly NewTask[]): readonly PackageId[] {
  return tasks.flatMap((task) => task.package ?? []);
}

/** Gateways that are blocked for the same reason are counted together. */
function addBlocker(
  blockers: readonly RolloutBlocker[],
  gateway: GatewayId,
  plan: ClassPlan,
): readonly RolloutBlocker[] {
  if (plan.kind !== 'blocked') return blockers;
  const { explanation } = plan;
  const same = blockers.findIndex((blocker) => blocker.explanation.summary === explanation.summary);
  // Past the limit they are counted with the last one: the reasons shown are examples, the number is exact.
  const at = same < 0 && blockers.length >= MAX_BLOCKERS ? blockers.length - 1 : same;
  const found = blockers[at];
  if (!found) return [...blockers, { gateways: 1, example: gateway, explanation }];
  return blockers.with(at, { ...found, gateways: found.gateways + 1 });
}

function onlyOf(selector: Selector, id: GatewayId): Selector {
  return { text: selector.text, terms: [...selector.terms, { kind: 'in', key: 'id', values: [id] }] };
}
