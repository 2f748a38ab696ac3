/** The room as a whole, over a real SQLite file: races, restarts, and what rollouts come to. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isLeonoreError, isTerminal, type GatewayId, type TaskId } from '@leonore/protocol';
import { gatewayId, openRig, TENANT, until, type Rig } from './testing/provisioning-rig.ts';

const tasksOf = async (bench: Rig, gateway: GatewayId) =>
  (await bench.node.repositories.read.rollouts.listTasks(TENANT, { gateway, limit: 100 })).items.toReversed();

describe('planning', () => {
  it('goes on past gateways that no package can be made for', async () => {
    await using bench = await openRig();
    await bench.publish('svm', '1.0.0');
    await bench.gateway('a-good');
    await bench.gateway('b-nothing', { encodings: ['zstd'] });
    await bench.gateway('c-odd', { os: 'Weird OS!', arch: '../x' });
    const rollout = await bench.create({ applications: ['svm'] });
    for (const id of ['a-good', 'c-odd']) await bench.obey(gatewayId(id));
    const { state, counts, blockers } = await bench.ended(rollout);
    assert.equal(state, 'failed');
    assert.deepEqual([counts.succeeded, counts.blocked], [2, 1]);
    assert.match(blockers?.[0]?.explanation.summary ?? '', /tar\.zst: svm 1\.0\.0 is published as gzip only/);
    assert.deepEqual(bench.errors, []);
  });
  it('takes in a gateway that comes while the rollout is paused, and holds its task back', async () => {
    await using bench = await openRig();
    await bench.publish('svm', '1.0.0');
    await bench.gateway('a');
    const rollout = await bench.create({ applications: ['svm'] });
    await bench.rollouts.pause(TENANT, rollout.id);
    const late = await bench.gateway('late');
    await until('its task', async () => (await tasksOf(bench, late)).length > 0);
    assert.equal((await bench.tasks.current(TENANT, late)).kind, 'none');
    await bench.rollouts.resume(TENANT, rollout.id);
    await bench.obey(late);
  });
  it('makes nothing that lasts for a gateway that is removed meanwhile', async () => {
    await using bench = await openRig();
    await bench.publish('svm', '1.0.0');
    await bench.gateway('stays');
    await bench.gateway('goes');
    const rollout = await bench.create({ applications: ['svm'] });
    await bench.node.gateways.remove(TENANT, gatewayId('goes'));
    await bench.obey(gatewayId('stays'));
    await bench.ended(rollout);
    assert.ok((await tasksOf(bench, gatewayId('goes'))).every(({ state }) => state === 'canceled'));
  });
  it('does not say that a gateway has everything while it works on something else', async () => {
    await using bench = await openRig();
    await bench.publish('svm', '1.0.0');
    await bench.publish('svm', '2.0.0');
    const gateway = await bench.gateway('a', { installed: [{ name: 'svm', version: '1.0.0', requested: true }] });
    await bench.create({ applications: ['svm@2.0.0'] });
    const first = await bench.offered(gateway);
    await bench.tasks.deliver(TENANT, gateway, first, 'pull');
    await bench.feedback(gateway, first, 'proceeding');
    const second = await bench.create({ applications: ['svm@1.0.0'] });
    await until('the cancel', async () => (await bench.tasks.current(TENANT, gateway)).kind === 'cancel');
    // It could not stop any more.
    await bench.feedback(gateway, first, 'closed', 'success');
    await bench.obey(gateway);
    assert.equal((await bench.ended(second)).state, 'succeeded');
    assert.deepEqual(await bench.installed(gateway), ['svm 1.0.0']);
    assert.deepEqual(await bench.desired(gateway), ['svm@1.0.0']);
  });
});

describe('a rollout', () => {
  it('that is tried again and reaches everybody has succeeded', async () => {
    await using bench = await openRig();
    await bench.publish('svm', '1.0.0');
    const gateway = await bench.gateway('a');
    const rollout = await bench.create({ applications: ['svm'] });
    const first = await bench.offered(gateway);
    await bench.tasks.deliver(TENANT, gateway, first, 'pull');
    await bench.feedback(gateway, first, 'closed', 'failure');
    assert.equal((await bench.ended(rollout)).state, 'failed');
    await bench.rollouts.retry(TENANT, rollout.id);
    await bench.obey(gateway);
    assert.equal((await bench.ended(rollout)).state, 'succeeded');
  });
  it('never ends while it is being planned again', async () => {
    await using bench = await openRig();
    await bench.publish('svm', '1.0.0');
    const gateways = await Promise.all(Array.from({ length: 30 }, (_, i) => bench.gateway(`g-${i}`)));
    const rollout = await bench.create({ applications: ['svm'] });
    for (let round = 0; round < 5; round++) {
      for (const gateway of gateways) {
        const task = await bench.offered(gateway);
        await bench.tasks.deliver(TENANT, gateway, task, 'pull');
        await bench.feedback(gateway, task, 'closed', 'failure');
      }
      await bench.rollouts.retry(TENANT, rollout.id);
    }
    for (const gateway of gateways) await bench.obey(gateway);
    const { state, planned } = await bench.ended(rollout);
    assert.deepEqual([state, planned], ['succeeded', true]);
  });
  it('that was aborted stays so when the node dies in between', async () => {
    await using bench = await openRig();
    await bench.publish('svm', '1.0.0');
    const gateway = await bench.gateway('a');
    const rollout = await bench.create({ applications: ['svm'] });
    const task = await bench.offered(gateway);
    // The first half of an abort.
    await bench.node.repositories.write((set) =>
      set.rollouts.setState(TENANT, rollout.id, ['running'], 'aborted', bench.clock.now),
    );
    await bench.restart();
    await until('its end', async () => (await bench.node.provisioning.task(TENANT, task)).state === 'canceled');
  });
  it('that was paused goes on with a new number where a later one went first', async () => {
    await using bench = await openRig();
    await bench.publish('svm', '1.0.0');
    await bench.publish('other', '1.0.0');
    const gateway = await bench.gateway('a');
    const held = await bench.create({ applications: ['svm'] });
    const old = await bench.offered(gateway);
    await bench.rollouts.pause(TENANT, held.id);
    const later = await bench.create({ applications: ['other'] });
    const done = await bench.obey(gateway);
    await bench.ended(later);
    await bench.rollouts.resume(TENANT, held.id);
    const again = await bench.offered(gateway);
    assert.ok(again > done && done > old);
    await assert.rejects(bench.tasks.deliver(TENANT, gateway, old, 'pull'), (error) => isLeonoreError(error));
    await bench.obey(gateway);
    assert.equal((await bench.ended(held)).state, 'succeeded');
    assert.deepEqual((await bench.desired(gateway)).toSorted(), ['other@*', 'svm@*']);
  });
});

describe('a gateway that drifted', () => {
  it('gets back what it shall have, and nothing that was removed since', async () => {
    await using bench = await openRig();
    await bench.publish('svm', '1.0.0');
    await bench.publish('extra', '1.0.0');
    const gateway = await bench.gateway('a');
    await bench.create({ applications: ['svm', 'extra'] });
    await bench.obey(gateway);
    await bench.ended(await bench.create({ remove: ['extra'] }).then(async (r) => (await bench.obey(gateway), r)));
    assert.deepEqual(await bench.installed(gateway), ['svm 1.0.0']);
    await bench.node.gateways.putProfile(TENANT, gateway, { installed: [] }, 'merge');
    await bench.obey(gateway);
    assert.deepEqual(await bench.installed(gateway), ['svm 1.0.0']);
    assert.deepEqual(await bench.desired(gateway), ['svm@*']);
  });
});

describe('a gateway', () => {
  async function atWork(bench: Rig): Promise<{ gateway: GatewayId; task: TaskId; rollout: { id: number } }> {
    await bench.publish('svm', '1.0.0');
    const gateway = await bench.gateway('a');
    const rollout = await bench.create({ applications: ['svm'] });
    const task = await bench.offered(gateway);
    await bench.tasks.deliver(TENANT, gateway, task, 'pull');
    return { gateway, task, rollout };
  }
  it('that reports in a loop is stopped; its end is still taken, also by the next node', async () => {
    await using bench = await openRig();
    const { gateway, task } = await atWork(bench);
    await bench.feedback(gateway, task, 'proceeding');
    const say = () => bench.feedback(gateway, task, 'proceeding', 'none', ['x']);
    const said = await Promise.allSettled(Array.from({ length: 1100 }, say));
    const refused = said.filter(({ status }) => status === 'rejected').length;
    assert.ok(refused >= 100 && refused < 110, `${refused} were refused`);
    await bench.restart();
    await assert.rejects(say(), (error) => isLeonoreError(error, 'quota.exceeded') && error.status === 429);
    await bench.feedback(gateway, task, 'closed', 'success');
    assert.equal((await bench.node.provisioning.task(TENANT, task)).state, 'succeeded');
  });
  it('is bounded in how much it says, not only in how often', async () => {
    await using bench = await openRig();
    const { gateway, task } = await atWork(bench);
    await bench.feedback(gateway, task, 'proceeding');
    const much = Array.from({ length: 50 }, () => 'x'.repeat(4000));
    const said = await Promise.allSettled(
      Array.from({ length: 20 }, () => bench.feedback(gateway, task, 'proceeding', 'none', much)),
    );
    assert.equal(said.filter(({ status }) => status === 'fulfilled').length, 5);
  });
  it('is asked to stop once, whatever it says to that', async () => {
    await using bench = await openRig();
    const { gateway, task, rollout } = await atWork(bench);
    bench.connected.add(gateway);
    await bench.rollouts.abort(TENANT, rollout.id as never);
    const cancel = { status: { execution: 'proceeding', result: { finished: 'none' } } } as const;
    for (let i = 0; i < 10; i++) await bench.tasks.cancelFeedback(TENANT, gateway, task, cancel);
    await bench.feedback(gateway, task, 'closed', 'success');
    assert.equal(bench.pushed.filter((message) => message.cancel).length, 1);
  });
  it('whose success is belied by what it has changes nothing that it shall have', async () => {
    await using bench = await openRig();
    const { gateway, task } = await atWork(bench);
    const status = { execution: 'closed', result: { finished: 'success' } } as const;
    await bench.tasks.feedback(TENANT, gateway, task, { status, installed: [] });
    assert.equal((await bench.node.provisioning.task(TENANT, task)).state, 'failed');
    assert.deepEqual(await bench.desired(gateway), []);
  });
  it('whose report comes after its profile: what is installed is the report, how it is doing the profile', async () => {
    await using bench = await openRig();
    const { gateway, task } = await atWork(bench);
    const svm = { name: 'svm' as never, version: '1.0.0', requested: true };
    const running = { installed: [{ ...svm, requested: false, state: 'running', restarts: 2 }] };
    await bench.node.gateways.putProfile(TENANT, gateway, running, 'merge');
    const status = { execution: 'closed', result: { finished: 'success' } } as const;
    const old = { name: 'old' as never, version: '1.0.0', requested: true, state: 'stopped' as const };
    await bench.tasks.feedback(TENANT, gateway, task, { status, installed: [{ ...svm, state: 'starting' }, old] });
    const { profile } = await bench.node.gateways.get(TENANT, gateway);
    assert.deepEqual(profile.installed, [{ ...svm, state: 'running', restarts: 2 }, old]);
  });
  it('that asks by both ways in turn leaves no trail', async () => {
    await using bench = await openRig();
    const { gateway, task } = await atWork(bench);
    for (let i = 0; i < 10; i++)
      for (const way of ['push', 'pull'] as const) await bench.tasks.deliver(TENANT, gateway, task, way);
    const { transitions } = await bench.node.provisioning.task(TENANT, task);
    assert.deepEqual(
      transitions?.map(({ state }) => state),
      ['pending', 'offered'],
    );
  });
  it('gets a task only when it is its turn', async () => {
    await using bench = await openRig();
    const { gateway, task } = await atWork(bench);
    await bench.publish('other', '1.0.0');
    await bench.create({ applications: ['other'] });
    const next = await until('the second task', async () => (await tasksOf(bench, gateway))[1]?.id);
    await assert.rejects(bench.tasks.deliver(TENANT, gateway, next, 'pull'), (error) =>
      isLeonoreError(error, 'task.unknown'),
    );
    await bench.feedback(gateway, task, 'closed', 'success');
    assert.equal(await bench.obey(gateway), next);
  });
  it('whose tasks are due in a crowd holds nobody: all end together', async () => {
    await using bench = await openRig();
    await bench.publish('svm', '1.0.0');
    const gateways = await Promise.all(Array.from({ length: 250 }, (_, i) => bench.gateway(`g-${i}`)));
    const rollout = await bench.create({ applications: ['svm'], deadline: 10 });
    await until('planning', async () => (await bench.rollouts.get(TENANT, rollout.id)).planned);
    bench.clock.now += 11_000;
    const { counts } = await bench.ended(rollout);
    assert.equal(counts.failed, gateways.length);
    assert.ok((await tasksOf(bench, gateways[0]!)).every(({ state }) => isTerminal(state)));
  });
});
