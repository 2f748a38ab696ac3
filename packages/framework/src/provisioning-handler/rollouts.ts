/** What operators do with rollouts: create, pause, resume, abort, retry. */
import {
  ACTIVE_STATES,
  INSTALLED_KEY_PREFIX,
  LeonoreError,
  parseSelector,
  type CreateRollout,
  type Rollout,
  type RolloutId,
  type RolloutState,
  type Page,
  type Tenant,
} from '@leonore/protocol';
import type { PageQuery, Repositories, RepositorySet, RolloutRecord } from '../repositories/mod.ts';
import { presentRollout } from './presentation.ts';
import type { RolloutPlanning } from './rollout-planning.ts';
import type { Tasks } from './tasks.ts';

export interface Rollouts {
  /** @throws selector.*, artifact.unknown, plan.unsatisfiable (details.explanation) when no selected gateway can be served */
  create(tenant: Tenant, wanted: CreateRollout): Promise<Rollout>;
  /** @throws rollout.unknown */
  get(tenant: Tenant, id: RolloutId): Promise<Rollout>;
  list(tenant: Tenant, query: PageQuery): Promise<Page<Rollout>>;
  /** No task goes out that is not out yet. @throws rollout.unknown, rollout.state */
  pause(tenant: Tenant, id: RolloutId): Promise<Rollout>;
  resume(tenant: Tenant, id: RolloutId): Promise<Rollout>;
  /** Tasks that are not out yet end; gateways at work are asked to stop. */
  abort(tenant: Tenant, id: RolloutId): Promise<Rollout>;
  /** New tasks for every gateway that failed, refused or was canceled or blocked; a paused one goes on. */
  retry(tenant: Tenant, id: RolloutId): Promise<Rollout>;
  /** INTERNAL: ends what an abort left that the node did not survive. */
  finishAbort(tenant: Tenant, id: RolloutId): Promise<void>;
}

export function createRollouts(deps: {
  repositories: Repositories;
  planning: Pick<RolloutPlanning, 'preview'>;
  tasks: Pick<Tasks, 'cancel'>;
  now: () => number;
  /** Plans in the background from where the rollout stands. */
  startPlanning: (tenant: Tenant, rollout: RolloutId) => void;
  /** Tasks that were held back may go out now; in the background as well. */
  release: (tenant: Tenant, rollout: RolloutId) => void;
  touch: (tenant: Tenant, rollout: RolloutId) => void;
}): Rollouts {
  const { repositories, now } = deps;

  async function record(tenant: Tenant, id: RolloutId): Promise<RolloutRecord> {
    const found = await repositories.read.rollouts.find(tenant, id);
    if (!found) throw new LeonoreError('rollout.unknown', `there is no rollout ${id}; leonore rollout list shows them`);
    return found;
  }

  async function present(tenant: Tenant, rollout: RolloutRecord): Promise<Rollout> {
    return presentRollout(rollout, await repositories.read.rollouts.counts(tenant, rollout.id));
  }

  async function get(tenant: Tenant, id: RolloutId): Promise<Rollout> {
    return present(tenant, await record(tenant, id));
  }

  async function change(
    tenant: Tenant,
    id: RolloutId,
    verb: string,
    from: readonly RolloutState[],
    to: RolloutState,
    also?: (set: RepositorySet) => Promise<void>,
  ): Promise<void> {
    const moved = await repositories.write(async (set) => {
      const done = await set.rollouts.setState(tenant, id, from, to, now());
      if (done) await also?.(set);
      return done;
    });
    if (moved) return deps.touch(tenant, id);
    const { state } = await record(tenant, id);
    throw new LeonoreError(
      'rollout.state',
      `rollout ${id} is ${state}; only one that is ${from.join(' or ')} can be ${verb}`,
    );
  }

  /** What was begun before the rollout ended; tasks that came after it bring back what a gateway lost. */
  async function cancelAll(tenant: Tenant, id: RolloutId): Promise<void> {
    const { endedAt = now() } = await record(tenant, id);
    let cursor: string | undefined;
    do {
      const page = await repositories.read.rollouts.listTasks(tenant, {
        rollout: id,
        states: ACTIVE_STATES,
        limit: 500,
        cursor,
      });
      const begun = page.items.filter(({ createdAt }) => createdAt <= endedAt);
      await Promise.all(begun.map((task) => deps.tasks.cancel(tenant, task, 'the rollout was aborted')));
      cursor = page.next;
    } while (cursor !== undefined);
  }

  async function checkSelector(tenant: Tenant, text: string): Promise<void> {
    const selector = parseSelector(text);
    const known = new Set(await repositories.read.gateways.selectorKeys(tenant));
    for (const term of selector.terms) {
      if (known.has(term.key) || term.kind === 'missing') continue;
      if (term.key.startsWith(INSTALLED_KEY_PREFIX)) {
        if (term.kind === 'notin') continue;
        const name = term.key.slice(INSTALLED_KEY_PREFIX.length);
        throw new LeonoreError('selector.no-match', `no gateway has ${name} installed, which "${text}" asks for`);
      }
      throw new LeonoreError(
        'selector.unknown-key',
        `no gateway has the key "${term.key}"; keys in use are ${[...known].toSorted().join(', ')}`,
        { details: { key: term.key, known: [...known].toSorted() } },
      );
    }
  }

  async function checkApplications(tenant: Tenant, names: readonly string[]): Promise<void> {
    for (const name of names) {
      if ((await repositories.read.artifacts.builds(tenant, name)).length > 0) continue;
      throw new LeonoreError(
        'artifact.unknown',
        `there is no artifact ${name}; publish it first with leonore artifact publish DIR`,
      );
    }
  }

  return {
    async create(tenant, wanted) {
      await checkSelector(tenant, wanted.selector);
      await checkApplications(tenant, [...wanted.applications.map(({ name }) => name), ...wanted.remove]);
      const fresh: Omit<RolloutRecord, 'id'> = {
        applications: wanted.applications,
        remove: wanted.remove,
        selector: wanted.selector,
        strategy: wanted.strategy,
        deadlines: wanted.deadlines,
        upgrade: wanted.upgrade,
        handling: wanted.handling,
        state: 'running',
        planned: false,
        blockers: [],
        createdAt: now(),
      };
      const { matched, explanation } = await deps.planning.preview(tenant, fresh);
      if (matched === 0) {
        throw new LeonoreError(
          'selector.no-match',
          `no gateway matches "${wanted.selector}"; leonore gateway list shows who there is`,
        );
      }
      if (explanation) {
        throw new LeonoreError('plan.unsatisfiable', explanation.summary, {
          details: { explanation, gateways: matched },
        });
      }
      const id = await repositories.write((set) => set.rollouts.insert(tenant, fresh));
      deps.startPlanning(tenant, id);
      return get(tenant, id);
    },
    get,
    async list(tenant, query) {
      const page = await repositories.read.rollouts.list(tenant, query);
      return { ...page, items: await Promise.all(page.items.map((rollout) => present(tenant, rollout))) };
    },
    async pause(tenant, id) {
      await change(tenant, id, 'paused', ['running'], 'paused');
      return get(tenant, id);
    },
    async resume(tenant, id) {
      await change(tenant, id, 'resumed', ['paused'], 'running');
      deps.release(tenant, id);
      return get(tenant, id);
    },
    async abort(tenant, id) {
      await change(tenant, id, 'aborted', ['running', 'paused'], 'aborted');
      await cancelAll(tenant, id);
      return get(tenant, id);
    },
    async retry(tenant, id) {
      await change(tenant, id, 'retried', ['failed', 'aborted', 'running', 'paused'], 'running', (set) =>
        set.rollouts.setPlanning(tenant, id, { planCursor: undefined, planned: false, blockers: [] }),
      );
      deps.startPlanning(tenant, id);
      deps.release(tenant, id);
      return get(tenant, id);
    },
    finishAbort: cancelAll,
  };
}
