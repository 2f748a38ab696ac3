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
  type Selector,
  type Tenant,
} from '@leonore/protocol';
import type {
  GatewayRecord,
  NewTask,
  Repositories,
  RolloutBlocker,
  RolloutRecord,
  TaskRecord,
} from '../repositories/mod.ts';
import type { ClassPlan, Planner } from './planner.ts';
import { chooseStrategy } from './strategies/mod.ts';
import { deadline, type Tasks } from './tasks.ts';
import { supersedes } from './wanted.ts';

const PAGE = 500;
const MAX_BLOCKERS = 20;

export interface RolloutPlanning {
  /** Goes on from where the rollout's planning stands, to its end or until the signal stops it. */
  run(tenant: Tenant, rollout: RolloutRecord, signal: AbortSignal): Promise<void>;
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
  tasks: Pick<Tasks, 'cancel'>;
  now: () => number;
  /** New tasks are durable: offer them. */
  onTasks: (tenant: Tenant, tasks: readonly TaskRecord[]) => Promise<void>;
}): RolloutPlanning {
  const { repositories, planner, now } = deps;

  async function planPage(
    tenant: Tenant,
    rollout: RolloutRecord,
    gateways: readonly GatewayRecord[],
    planning: Planning,
  ): Promise<readonly TaskRecord[]> {
    const ids = gateways.map(({ id }) => id);
    const served = await repositories.read.rollouts.gatewaysWithTask(tenant, rollout.id, ids, [
      ...ACTIVE_STATES,
      'succeeded',
    ]);
    const waiting = gateways.filter(({ id }) => !served.has(id));
    const plans = await Promise.all(waiting.map((gateway) => planner.plan(tenant, gateway, rollout)));
    const blockers = waiting.reduce(
      (all, gateway, index) => addBlocker(all, gateway.id, plans[index]!),
      planning.blockers,
    );
    const wanted = waiting.flatMap((gateway, index) => newTask(rollout, gateway, plans[index]!, now()));
    const made = await repositories.write(async (set) => {
      const tasks = await set.rollouts.insertTasks(tenant, wanted);
      const done = tasks.filter(({ state }) => state === 'succeeded').map(({ gateway }) => gateway);
      if (done.length > 0) {
        const desired = rollout.applications.map((application) => ({ ...application, rollout: rollout.id }));
        await set.gateways.changeDesired(tenant, done, { set: desired, remove: rollout.remove });
      }
      await set.rollouts.setPlanning(tenant, rollout.id, { ...planning, blockers });
      return tasks;
    });
    await supersedeOlder(tenant, rollout, made);
    await deps.onTasks(tenant, made);
    return made;
  }

  /** Older tasks of these gateways that have no point any more are canceled; the others come first, then the new one. */
  async function supersedeOlder(tenant: Tenant, rollout: RolloutRecord, made: readonly TaskRecord[]): Promise<void> {
    const others = (await repositories.read.rollouts.inStates(['running', 'paused', 'aborted'])).filter(
      (other) => other.tenant === tenant && other.rollout.id !== rollout.id && supersedes(rollout, other.rollout),
    );
    if (others.length === 0) return;
    const pointless = new Set(others.map((other) => other.rollout.id));
    for (const { gateway, id } of made) {
      for (const older of await repositories.read.rollouts.activeTasks(tenant, gateway)) {
        if (older.id < id && pointless.has(older.rollout)) {
          await deps.tasks.cancel(tenant, older, `superseded by rollout ${rollout.id}`);
        }
      }
    }
  }

  return {
    async run(tenant, rollout, signal) {
      const selector = parseSelector(rollout.selector);
      let { blockers, planCursor: cursor } = rollout;
      for (;;) {
        signal.throwIfAborted();
        const page = await repositories.read.gateways.list(tenant, { selector, limit: PAGE, cursor });
        const made = await planPage(tenant, rollout, page.items, {
          planCursor: page.next,
          planned: page.next === undefined,
          blockers,
        });
        const current = await repositories.read.rollouts.find(tenant, rollout.id);
        if (current?.state === 'aborted') {
          // Aborted while this page was made: nobody else cancels its tasks.
          for (const task of made) await deps.tasks.cancel(tenant, task, 'the rollout was aborted');
        }
        if (page.next === undefined || (current?.state !== 'running' && current?.state !== 'paused')) return;
        cursor = page.next;
        blockers = current.blockers;
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
      if (known.items.length > 0) return;
      const plan = await planner.plan(tenant, match, rollout);
      if (plan.kind === 'blocked') return;
      await planPage(tenant, rollout, [match], {
        planned: rollout.planned,
        planCursor: rollout.planCursor,
        blockers: rollout.blockers,
      });
    },
    async repair(tenant, rollout, gateway) {
      // The rollout's own change is in the gateway's desired state already, or was replaced since.
      const plan = await planner.plan(tenant, gateway, rollout);
      const made = await repositories.write((set) =>
        set.rollouts.insertTasks(tenant, newTask(rollout, gateway, plan, now())),
      );
      await deps.onTasks(tenant, made);
    },
    async preview(tenant, rollout) {
      const selector = parseSelector(rollout.selector);
      const { items, next } = await repositories.read.gateways.list(tenant, { selector, limit: PAGE });
      let explanation: Explanation | undefined;
      for (const gateway of items) {
        const plan = await planner.plan(tenant, gateway, rollout);
        if (plan.kind !== 'blocked') return { matched: items.length };
        explanation ??= plan.explanation;
      }
      return next === undefined && explanation ? { matched: items.length, explanation } : { matched: items.length };
    },
  };
}

type Planning = Pick<RolloutRecord, 'planCursor' | 'planned' | 'blockers'>;

function newTask(rollout: RolloutRecord, gateway: GatewayRecord, plan: ClassPlan, now: number): NewTask[] {
  if (plan.kind === 'blocked') return [];
  const state = plan.kind === 'package' ? 'pending' : 'succeeded';
  const deadlineAt = deadline(rollout.deadlines, state, now);
  return [
    {
      rollout: rollout.id,
      gateway: gateway.id,
      state,
      strategy: chooseStrategy(rollout.strategy, gateway),
      classKey: plan.classKey,
      ...(plan.kind === 'package'
        ? { package: plan.package.summary.id }
        : { message: 'the gateway has everything already' }),
      canceling: false,
      createdAt: now,
      updatedAt: now,
      ...(deadlineAt === undefined ? {} : { deadlineAt }),
      ...(isTerminal(state) ? { endedAt: now } : {}),
    },
  ];
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
