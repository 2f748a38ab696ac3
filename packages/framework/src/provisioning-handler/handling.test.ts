import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DEFAULT_DEADLINES, type GatewayId, type Handling, handlingSchema, isLeonoreError } from '@leonore/protocol';
import type { z } from 'zod';
import { comesFirst } from './handling.ts';
import { openRig, type Rig, TENANT, until } from './testing/provisioning-rig.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** The rig's clock begins 1000 seconds after midnight. */
const AT_NIGHT = { schedule: '0 2 * * *', durationSeconds: 7200 };

async function begin(bench: Rig, handling: z.input<typeof handlingSchema>, selector = 'id=gw'): Promise<GatewayId> {
  await bench.publish('svm', '1.0.0');
  const gateway = await bench.gateway('gw');
  await create(bench, handlingSchema.parse(handling), selector);
  return gateway;
}

function create(bench: Rig, handling: Handling, selector: string) {
  return bench.rollouts.create(TENANT, {
    applications: [{ name: 'svm' as never, range: '*' }],
    remove: [],
    selector,
    strategy: 'auto',
    upgrade: false,
    deadlines: DEFAULT_DEADLINES,
    handling,
  });
}

const work = (bench: Rig, gateway: GatewayId) =>
  until('work', async () => {
    const found = await bench.tasks.current(TENANT, gateway);
    return found.kind === 'none' ? undefined : found;
  });
const stateOf = async (bench: Rig, task: number) => (await bench.node.provisioning.task(TENANT, task as never)).state;

describe('weights', () => {
  it('put the heaviest first; none counts as the heaviest, and before those that say so', () => {
    const sorted = [0, 1000, 7, undefined, 999, undefined].map((weight, id) => ({ weight, id }));
    sorted.sort((a, b) => comesFirst(a.weight, b.weight) || a.id - b.id);
    assert.deepEqual(
      sorted.map(({ id }) => id),
      [3, 5, 1, 4, 2, 0],
    );
  });
});

describe('a time-forced rollout', () => {
  it('is soft until its time, and the poll shows when that changes', async () => {
    await using bench = await openRig();
    const forcedAt = bench.clock.now + HOUR_MS;
    const gateway = await begin(bench, { mode: 'time-forced', forcedAt });
    const before = await work(bench, gateway);
    assert.ok(before.kind === 'deployment');
    const deliver = async () => (await bench.tasks.deliver(TENANT, gateway, before.task, 'pull')).handling;
    assert.deepEqual(await deliver(), { download: 'attempt', update: 'attempt' });
    assert.deepEqual(await work(bench, gateway), before);
    bench.clock.now = forcedAt;
    assert.deepEqual(await deliver(), { download: 'forced', update: 'forced' });
    const after = await work(bench, gateway);
    assert.ok(after.kind === 'deployment' && after.revision !== before.revision);
    assert.equal(after.revision, after.revision | 0);
  });
});

describe('a maintenance window', () => {
  it('opens and closes, the poll shows it, and no deadline passes before it opens', async () => {
    await using bench = await openRig();
    const gateway = await begin(bench, { window: { ...AT_NIGHT, schedule: '0 2 1 * *' } });
    bench.clock.now += 6 * HOUR_MS;
    const closed = await work(bench, gateway);
    assert.ok(closed.kind === 'deployment');
    const { handling, expiresAt } = await bench.tasks.deliver(TENANT, gateway, closed.task, 'pull');
    assert.deepEqual(handling, { download: 'forced', update: 'skip', maintenanceWindow: 'unavailable' });
    const february = Date.UTC(1970, 1, 1, 2);
    assert.equal(closed.opensInMs, february - bench.clock.now);
    assert.ok(expiresAt > february + DAY_MS);
    // Offered for 28 days: without a window it would have failed after one.
    bench.clock.now = february + HOUR_MS;
    const open = await work(bench, gateway);
    assert.ok(open.kind === 'deployment' && open.revision !== closed.revision && open.opensInMs === undefined);
    await bench.feedback(gateway, open.task, 'closed', 'success');
    assert.equal(await stateOf(bench, open.task), 'succeeded');
  });
  it('that was open between is one in which it may have been installed', async () => {
    await using bench = await openRig();
    const gateway = await begin(bench, { window: AT_NIGHT });
    const { task } = await work(bench, gateway);
    await bench.tasks.deliver(TENANT, gateway, task, 'pull');
    const skipped = () => bench.feedback(gateway, task, 'closed', 'success', ['Skipped Update.']);
    for (let times = 0; times < 5; times++) await skipped();
    const { state, transitions = [] } = await bench.node.provisioning.task(TENANT, task);
    assert.equal(state, 'offered');
    assert.equal(transitions.length, 3, 'what is said with every poll is kept once');
    bench.clock.now += 12 * HOUR_MS;
    await skipped();
    assert.equal(await stateOf(bench, task), 'succeeded');
  });
  it('leaves a task its time after it opens', async () => {
    await using bench = await openRig();
    const gateway = await begin(bench, { window: AT_NIGHT });
    const { task } = await work(bench, gateway);
    await bench.tasks.deliver(TENANT, gateway, task, 'pull');
    bench.clock.now += 4 * DAY_MS;
    await until('its deadline', async () => (await stateOf(bench, task)) === 'failed');
  });
});

describe('a download-only rollout', () => {
  it('changes neither what is installed nor what is desired, until it is installed after all', async () => {
    await using bench = await openRig();
    const gateway = await begin(bench, { mode: 'download-only' });
    const { task } = await work(bench, gateway);
    await bench.tasks.deliver(TENANT, gateway, task, 'pull');
    await bench.feedback(gateway, task, 'downloaded', 'success');
    assert.equal(await stateOf(bench, task), 'succeeded');
    assert.deepEqual([await bench.installed(gateway), await bench.desired(gateway)], [[], []]);
    assert.equal(await bench.tasks.installedTask(TENANT, gateway), undefined);
    const ends = await Promise.allSettled([1, 2, 3].map(() => bench.feedback(gateway, task, 'closed', 'success')));
    assert.equal(ends.filter(({ status }) => status === 'fulfilled').length, 1);
    assert.deepEqual([await bench.installed(gateway), await bench.desired(gateway)], [['svm 1.0.0'], ['svm@*']]);
    assert.equal(await bench.tasks.installedTask(TENANT, gateway), task);
  });
  it('whose later installation fails changes nothing, and says so', async () => {
    await using bench = await openRig();
    const gateway = await begin(bench, { mode: 'download-only' });
    const { task } = await work(bench, gateway);
    await bench.tasks.deliver(TENANT, gateway, task, 'pull');
    await bench.feedback(gateway, task, 'downloaded', 'success');
    await bench.feedback(gateway, task, 'closed', 'failure', ['flash is worn out']);
    const { state, message, transitions } = await bench.node.provisioning.task(TENANT, task);
    assert.deepEqual([state, message], ['succeeded', 'installing it later failed']);
    assert.ok(transitions?.at(-1)?.messages.includes('flash is worn out'));
    assert.deepEqual([await bench.installed(gateway), await bench.desired(gateway)], [[], []]);
  });
});

describe('a rollout that asks', () => {
  it('offers nothing before the gateway agrees, whichever way it asks', async () => {
    await using bench = await openRig();
    const gateway = await begin(bench, { confirm: true });
    bench.connected.add(gateway);
    bench.node.provisioning.gatewayReady(TENANT, gateway);
    const { kind, task } = await work(bench, gateway);
    assert.equal(kind, 'confirmation');
    const unknown = (error: unknown) => isLeonoreError(error, 'task.unknown');
    await assert.rejects(bench.tasks.deliver(TENANT, gateway, task, 'pull'), unknown);
    await assert.rejects(bench.feedback(gateway, task, 'closed', 'success'), unknown);
    assert.deepEqual(bench.pushed, []);
    await bench.tasks.confirm(TENANT, gateway, task, { confirmation: 'confirmed' });
    assert.equal((await work(bench, gateway)).kind, 'deployment');
  });
  it('asks again when it would be another package by then', async () => {
    await using bench = await openRig();
    const gateway = await begin(bench, { confirm: true });
    const { task } = await work(bench, gateway);
    await bench.tasks.confirm(TENANT, gateway, task, { confirmation: 'confirmed' });
    await bench.publish('svm', '1.1.0');
    assert.equal((await work(bench, gateway)).kind, 'deployment');
    await bench.node.repositories.write((set) => set.artifacts.withdraw(TENANT, 'svm', '1.0.0', 1, 'bad'));
    assert.deepEqual([(await work(bench, gateway)).kind, (await work(bench, gateway)).task], ['confirmation', task]);
    await bench.tasks.confirm(TENANT, gateway, task, { confirmation: 'confirmed' });
    await bench.obey(gateway);
    assert.deepEqual(await bench.installed(gateway), ['svm 1.1.0']);
  });
  it('does not ask where it was agreed once for all', async () => {
    await using bench = await openRig();
    const gateway = await begin(bench, { confirm: true });
    const { task } = await work(bench, gateway);
    await bench.node.gateways.activateAutoConfirm(TENANT, gateway, { initiator: 'mill' });
    assert.equal((await work(bench, gateway)).kind, 'deployment');
    const { condition, message } = await bench.node.provisioning.task(TENANT, task);
    assert.deepEqual([condition, message], ['confirmed', 'confirmed at once: auto-confirm was activated by mill']);
  });
});

it("LEONORE's own agents are left out of what they have no part in, and the rollout says why", async () => {
  await using bench = await openRig();
  await bench.publish('svm', '1.0.0');
  const { token = '' } = await bench.node.gateways.createToken(TENANT, { uses: 1, ttlSeconds: 1000, labels: {} });
  await bench.node.gateways.enrol(TENANT, { token, id: 'own', secret: 'a'.repeat(64) });
  for (const handling of [{ mode: 'download-only' }, { confirm: true }] as const) {
    const wanted = handlingSchema.parse(handling);
    await assert.rejects(
      create(bench, wanted, 'id=own'),
      (error) => isLeonoreError(error, 'plan.unsatisfiable') && /own agent/.test(error.message),
    );
  }
  await bench.gateway('other');
  const { id } = await create(bench, handlingSchema.parse({ mode: 'download-only' }), '*');
  const planned = await until('the plan', async () => {
    const found = await bench.rollouts.get(TENANT, id);
    return found.planned && found;
  });
  assert.deepEqual([planned.counts.blocked, planned.counts.pending], [1, 1]);
  assert.match(planned.blockers?.[0]?.explanation.summary ?? '', /own agent/);
});
