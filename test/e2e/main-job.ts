/** The main job, for whichever agent: install, update, dependency, removal, roll-back, an older version, repair. */
import assert from 'node:assert/strict';
import { readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, it } from 'node:test';
import type { Task } from '@leonore/protocol';
import { startSite, waitFor, wordsOf, type AgentProgram, type Site, type SiteAgent } from '@leonore/testkit';
import { library, service } from './applications.ts';

/** To be called inside of a `describe`. `program`: an agent that is not `leonore agent`. */
export function mainJob(strategy: 'pull' | 'push', program?: AgentProgram): void {
  let site: Site;
  let agent: SiteAgent;
  const select = 'site=vienna';
  const binary = (name: string, file: string) => join(agent.root, 'components', name, 'current', 'binary', file);
  const events = (name: string) => readFile(join(agent.root, 'data', name, 'events'), 'utf8').catch(() => '');
  const installed = async () => {
    const { profile } = await site.client.gateways.get(agent.id);
    return Object.fromEntries((profile.installed ?? []).map(({ name, version }) => [name, version]));
  };

  before(async () => {
    site = await startSite();
    agent = await site.agent('gw-1', { strategy, labels: { site: 'vienna' }, ...(program ? { program } : {}) });
    await site.publish(service('meter', '1.0.0', { requires: { artifacts: { runtime: '^1.0.0' } } }));
    await site.publish(library('runtime', '1.4.0'));
    await site.publish(library('runtime', '2.0.0'));
  });
  after(() => site[Symbol.asyncDispose]());

  it('installs an application with what it needs', async () => {
    const { rollout, tasks } = await site.provision({
      applications: [{ name: 'meter' }],
      selector: select,
      strategy,
    });
    assert.equal(rollout.state, 'succeeded', wordsOf(tasks));
    assert.equal(tasks[0]?.deliveredBy, strategy);
    assert.deepEqual(await installed(), { meter: '1.0.0', runtime: '1.4.0' });
    assert.equal(await readFile(binary('meter', 'version.txt'), 'utf8'), '1.0.0\n');
    assert.equal(await events('runtime'), 'install 1.4.0\n');
    const { transitions } = await site.client.task(taskId(tasks));
    const states = [...new Set(transitions?.map(({ state }) => state))];
    assert.deepEqual(states, ['pending', 'offered', 'downloading', 'installing', 'succeeded']);
    const times = transitions?.map(({ at }) => at) ?? [];
    assert.deepEqual(
      times,
      times.toSorted((a, b) => a - b),
    );
  });

  it('has nothing to do when everything is there', async () => {
    const { rollout, tasks } = await site.provision({
      applications: [{ name: 'meter' }],
      selector: select,
      strategy,
    });
    assert.equal(rollout.state, 'succeeded');
    assert.match(tasks[0]?.message ?? '', /has everything already/);
    assert.equal(await events('meter'), 'start 1.0.0\n');
  });

  it('updates it and leaves what still fits', async () => {
    await site.publish(service('meter', '1.1.0', { requires: { artifacts: { runtime: '^1.0.0' } } }));
    const { rollout, tasks } = await site.provision({
      applications: [{ name: 'meter', range: '^1.1.0' }],
      selector: select,
      strategy,
    });
    assert.equal(rollout.state, 'succeeded', wordsOf(tasks));
    assert.deepEqual(await installed(), { meter: '1.1.0', runtime: '1.4.0' });
    assert.equal(await events('runtime'), 'install 1.4.0\n');
    assert.equal(await events('meter'), 'start 1.0.0\nstart 1.1.0\n');
  });

  it('restarts what stands on a component that was updated under it', async () => {
    await site.publish(library('runtime', '1.5.0'));
    const { rollout, tasks } = await site.provision({
      applications: [{ name: 'meter', range: '^1.1.0' }],
      selector: select,
      strategy,
      upgrade: true,
    });
    assert.equal(rollout.state, 'succeeded', wordsOf(tasks));
    assert.deepEqual(await installed(), { meter: '1.1.0', runtime: '1.5.0' });
    assert.equal(await events('meter'), 'start 1.0.0\nstart 1.1.0\nstart 1.1.0\n');
  });

  it('rolls back when the new version does not become healthy', async () => {
    await site.publish(
      service(
        'meter',
        '1.2.0',
        { run: { healthTimeoutSeconds: 2 } },
        { health: 'echo "sensor bus is silent" >&2; exit 1' },
      ),
    );
    const { rollout, tasks } = await site.provision({
      applications: [{ name: 'meter', range: '1.2.0' }],
      selector: select,
      strategy,
    });
    assert.equal(rollout.state, 'failed');
    assert.equal(tasks[0]?.state, 'failed');
    const { transitions } = await site.client.task(taskId(tasks));
    const words = transitions?.flatMap(({ messages }) => messages).join('\n') ?? '';
    assert.match(words, /health/i);
    assert.match(words, /sensor bus is silent/);
    assert.equal((await installed())['meter'], '1.1.0');
    assert.equal(await readFile(binary('meter', 'version.txt'), 'utf8'), '1.1.0\n');
    await waitFor('1.1.0 to run again', async () => /start 1.1.0\n$/.test(await events('meter')));
  });

  it("reports a failing install script's output and changes nothing", async () => {
    await site.publish(
      library('broken', '1.0.0', {}, { install: 'echo "no such serial port: /dev/ttyS9" >&2; exit 7' }),
    );
    const { rollout, tasks } = await site.provision({
      applications: [{ name: 'broken' }],
      selector: select,
      strategy,
    });
    assert.equal(rollout.state, 'failed');
    const { transitions } = await site.client.task(taskId(tasks));
    const words = transitions?.flatMap(({ messages }) => messages).join('\n') ?? '';
    assert.match(words, /install/);
    assert.match(words, /7/);
    assert.match(words, /no such serial port: \/dev\/ttyS9/);
    assert.equal((await installed())['broken'], undefined);
    await assert.rejects(stat(join(agent.root, 'components', 'broken', 'current')));
  });

  it('removes it with what nobody needs any more', async () => {
    const { rollout, tasks } = await site.provision({ remove: ['meter'], selector: select, strategy });
    assert.equal(rollout.state, 'succeeded', wordsOf(tasks));
    assert.deepEqual(await installed(), {});
    await assert.rejects(stat(join(agent.root, 'components', 'meter', 'current')));
  });

  it('goes down to an older version when that is meant', async () => {
    await site.publish(library('tool', '1.0.0'));
    await site.publish(library('tool', '2.0.0'));
    for (const range of ['2.0.0', '1.0.0']) {
      const { rollout, tasks } = await site.provision({
        applications: [{ name: 'tool', range }],
        selector: select,
        strategy,
      });
      assert.equal(rollout.state, 'succeeded', wordsOf(tasks));
      assert.deepEqual(await installed(), { tool: range });
    }
  });

  it('gets back what it shall have when it was flashed again', async () => {
    await agent.process.kill('SIGTERM');
    await rm(join(agent.root, 'components'), { recursive: true });
    const tasks = async () => (await site.client.gateways.tasks(agent.id).list()).items;
    const before = (await tasks()).length;
    await agent.restart();
    await waitFor(
      'the repair',
      async () => (await tasks()).length > before && (await tasks())[0]?.state === 'succeeded',
      {
        describe: () => agent.process.output(),
      },
    );
    assert.equal(await readFile(binary('tool', 'version.txt'), 'utf8'), '1.0.0\n');
  });
}

function taskId(tasks: readonly Task[]): number {
  const [task] = tasks;
  assert.ok(task, 'the rollout has a task');
  return task.id;
}
