/**
 * The agent is an artifact like any other: a real node brings it to real gateways, whose launcher tries it and goes back
 * when the server does not hear of it. The agents are the bundle that gateways get, with a few lines before it.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Task } from '@leonore/protocol';
import { startSite, waitFor, wordsOf, type ArtifactFiles, type Site, type SiteAgent } from '@leonore/testkit';
import { buildAgent } from '../../scripts/build-agent.ts';
import { service } from './applications.ts';

const LAUNCHER = fileURLToPath(new URL('../../packages/agent/setup/leonore-agent', import.meta.url));
const LONG = { timeoutMs: 120_000 };

describe('the agent updates itself', () => {
  let work: string;
  let bundle: string;
  let site: Site;
  before(async () => {
    work = await mkdtemp(join(tmpdir(), 'leonore-self-update-'));
    bundle = await readFile((await buildAgent(work)).file, 'utf8');
    await writeFile(join(work, 'seed.js'), bundle);
    site = await startSite();
    await site.publish(meter('1.0.0'));
    await site.publish(meter('1.1.0'));
  });
  after(async () => {
    await site[Symbol.asyncDispose]();
    await rm(work, { recursive: true, force: true });
  });

  /** The agent of that version; `before` runs first, as a new agent's own faults would. */
  const agentArtifact = (version: string, before = ''): ArtifactFiles => {
    const profile = JSON.stringify({ agent: { name: 'leonore-agent', version } });
    const [shebang, ...rest] = bundle.split('\n');
    const lines = [shebang, before, `process.argv.push('--override', ${JSON.stringify(profile)});`, ...rest];
    return {
      manifest: { name: 'leonore-agent', version, requires: { capabilities: { 'leonore.self-update': '>=1' } } },
      binary: { 'leonore-agent.js': lines.join('\n') },
    };
  };
  /** Holds a new agent at its very start until the file is there. */
  const untilThere = (gate: string): string =>
    `while (!process.getBuiltinModule('node:fs').existsSync(${JSON.stringify(gate)})) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);`;

  const gateway = async (id: string, trialSeconds: number): Promise<Gateway> => {
    const env = {
      LEONORE_NODE: process.execPath,
      LEONORE_AGENT_SEED: join(work, 'seed.js'),
      LEONORE_TRIAL_SECONDS: String(trialSeconds),
    };
    const program = { call: ['/bin/sh', LAUNCHER] as const, env };
    const agent = await site.agent(id, { poll: '1s', args: ['--stop-applications'], program });
    return new Gateway(site, agent);
  };
  /** Starts a rollout and waits until its agent is on trial for the nth time. */
  const untilOnTrial = async (one: Gateway, starts = 1): Promise<void> => {
    const isOnTrial = async () => (await one.read('agent-trial/begun')).length === 2 * starts && (await one.runs());
    await waitFor(`start ${starts} on trial`, isOnTrial, { ...LONG, describe: () => one.agent.process.output() });
  };

  it('a good one: taken once the server has heard it; applications go on; removed, the first one is back', async () => {
    await using one = await gateway('gw-good', 120);
    assert.equal((await one.profile()).capabilities['leonore.self-update'], '1');
    await one.succeeds({ applications: [{ name: 'meter', range: '1.0.0' }] });
    const runs = await one.read('data/meter/pid');
    const seedVersion = (await one.profile()).agent?.version;

    await site.publish(agentArtifact('0.2.0'));
    const task = await one.succeeds({ applications: [{ name: 'leonore-agent', range: '0.2.0' }] });
    const outcome = task.transitions?.at(-1)?.outcome;
    assert.deepEqual(
      outcome?.steps.slice(-2).map(({ label }) => label),
      ['run control/install of leonore-agent 0.2.0', 'hand over to leonore-agent 0.2.0'],
    );
    await one.untilAgentIs('0.2.0');
    assert.deepEqual(await one.installed(), { meter: '1.0.0', 'leonore-agent': '0.2.0' });
    assert.equal(await one.read('data/meter/pid'), runs, 'the application was not started again');
    assert.ok(existsSync(`/proc/${runs.trim()}`));
    assert.equal(existsSync(one.at('agent-trial')), false);

    // A package with an application in it: both come back.
    await site.publish(agentArtifact('0.3.0', `throw new Error('no such flux compensator');`));
    const broken = await one.fails({
      applications: [
        { name: 'leonore-agent', range: '0.3.0' },
        { name: 'meter', range: '1.1.0' },
      ],
    });
    assert.match(
      broken.words,
      /could not hand over to leonore-agent 0\.3\.0: it ended with exit code 1 without having reported in, 3 times/,
    );
    assert.match(broken.words, /no such flux compensator/);
    assert.match(broken.words, /rolled back to .*leonore-agent 0\.2\.0/);
    assert.equal(broken.task.transitions?.at(-1)?.outcome?.failure?.kind, 'hand-over');
    assert.deepEqual(await one.installed(), { meter: '1.0.0', 'leonore-agent': '0.2.0' });
    assert.match(await one.read('data/meter/events'), /start 1\.0\.0\nstart 1\.1\.0\n(start 1\.0\.0\n)+$/);
    await one.succeeds({ applications: [{ name: 'meter', range: '1.1.0' }] });
    await one.untilAgentIs('0.2.0');

    await one.succeeds({ remove: ['leonore-agent'] });
    await one.untilAgentIs(seedVersion ?? '');
    assert.deepEqual(await one.installed(), { meter: '1.1.0' });
    assert.equal(existsSync(one.at('components/leonore-agent')), false);
    await one.succeeds({ remove: ['meter'] });
    assert.equal(await one.stops(), 0);
  });

  it('one that hangs, deaf to signals: ended after its window, the first one tells why and goes on', async () => {
    await using one = await gateway('gw-hang', 3);
    await site.publish(
      agentArtifact(
        '0.4.0',
        `process.on('SIGTERM', () => {}); console.error('waiting for a sign'); for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000);`,
      ),
    );
    const { words } = await one.fails({ applications: [{ name: 'leonore-agent', range: '0.4.0' }] });
    assert.match(words, /had not reported in after 3 seconds/);
    assert.match(words, /waiting for a sign/);
    assert.deepEqual(await one.installed(), {});
    await one.succeeds({ applications: [{ name: 'meter', range: '1.0.0' }] });
  });

  it('one that ends after a moment: the same, with its exit code', async () => {
    await using one = await gateway('gw-ends', 120);
    const code = `setTimeout(() => { console.error('lost heart'); process.exit(9); }, 300);`;
    await site.publish({
      manifest: { name: 'leonore-agent', version: '0.5.0' },
      binary: { 'leonore-agent.js': code },
    });
    const { words } = await one.fails({ applications: [{ name: 'leonore-agent', range: '0.5.0' }] });
    assert.match(words, /exit code 9 without having reported in, 3 times/);
    assert.match(words, /lost heart/);
    await one.succeeds({ applications: [{ name: 'meter', range: '1.0.0' }] });
  });

  it('the node is away during the trial: back after the window, and told when it is there again', async () => {
    await using one = await gateway('gw-away', 4);
    const gate = join(work, 'away');
    await site.publish(agentArtifact('0.6.0', untilThere(gate)));
    const rollout = await one.begin({ applications: [{ name: 'leonore-agent', range: '0.6.0' }] });
    await untilOnTrial(one);
    await site.node.kill('SIGKILL');
    await writeFile(gate, '');
    await waitFor('the former agent', () => one.agent.process.output().includes('had not reported in'), LONG);
    await site.restartNode('SIGKILL');
    const { words } = await one.failure(rollout);
    assert.match(words, /had not reported in after 4 seconds/);
    await one.succeeds({ applications: [{ name: 'meter', range: '1.0.0' }] });
  });

  it('killed at any point of the trial: the old or the new one runs, and the task ends', async () => {
    await using one = await gateway('gw-kill', 120);
    const gate = join(work, 'kill');
    await site.publish(agentArtifact('0.7.0', untilThere(gate)));
    const wanted = { applications: [{ name: 'leonore-agent', range: '0.7.0' }] };
    const rollout = await one.begin(wanted);
    await untilOnTrial(one);
    // The launcher, as in a power cut but for its agent.
    await one.agent.restart();
    await untilOnTrial(one, 2);
    // The new agent.
    process.kill(await one.pid(), 'SIGKILL');
    await untilOnTrial(one, 3);
    // The launcher, and the order is torn: the old agent goes back, and the task is tried again.
    await truncate(one.at('agent-trial/order'), 7);
    await one.agent.restart();
    await waitFor('a trial from the start', async () => (await one.read('agent-trial/begun')) === 'x\n', {
      ...LONG,
      describe: () => one.agent.process.output(),
    });
    await writeFile(gate, '');
    const { tasks } = await site.ended(rollout, LONG.timeoutMs);
    assert.equal(tasks[0]?.state, 'succeeded', wordsOf(tasks));
    await one.untilAgentIs('0.7.0');
    assert.deepEqual(await one.installed(), { 'leonore-agent': '0.7.0' });
  });

  it('without the launcher, or without an agent in it: refused before it is brought', async () => {
    await using plain = new Gateway(site, await site.agent('gw-plain', { args: ['--stop-applications'] }));
    assert.equal((await plain.profile()).capabilities['leonore.self-update'], undefined);
    const heavy = { binary: { 'leonore-agent.js': '', noise: new Uint8Array(300_000).map(() => Math.random() * 256) } };
    await site.publish({ manifest: { name: 'leonore-agent', version: '0.8.0' }, ...heavy });
    const refused = await plain.fails({ applications: [{ name: 'leonore-agent', range: '0.8.0' }] });
    assert.match(refused.words, /was not started by its launcher/);

    await using one = await gateway('gw-empty', 120);
    await site.publish({ manifest: { name: 'leonore-agent', version: '0.9.0' }, binary: { 'other.js': '' } });
    const empty = await one.fails({ applications: [{ name: 'leonore-agent', range: '0.9.0' }] });
    assert.match(empty.words, /has no binary\/leonore-agent\.js/);
    await assert.rejects(stat(one.at('agent-trial')));
  });
});

type Wanted = Omit<Parameters<Site['provision']>[0], 'selector'>;

/** A gateway of the site: what is asked of it, and what is seen of it. */
class Gateway implements AsyncDisposable {
  readonly site: Site;
  readonly agent: SiteAgent;
  constructor(site: Site, agent: SiteAgent) {
    this.site = site;
    this.agent = agent;
  }
  at(...parts: string[]): string {
    return join(this.agent.root, ...parts);
  }
  read(path: string): Promise<string> {
    return readFile(this.at(path), 'utf8').catch(() => '');
  }
  async profile() {
    return (await this.site.client.gateways.get(this.agent.id)).profile;
  }
  async installed(): Promise<Record<string, string>> {
    const { installed = [] } = await this.profile();
    return Object.fromEntries(installed.map(({ name, version }) => [name, version]));
  }
  async untilAgentIs(version: string): Promise<void> {
    await waitFor(`agent ${version}`, async () => (await this.profile()).agent?.version === version, {
      ...LONG,
      describe: () => this.agent.process.output(),
    });
  }
  /** Of the agent, not of its launcher. */
  async pid(): Promise<number> {
    return Number((await this.read('agent.pid')).split(' ')[1] ?? 0);
  }
  async runs(): Promise<boolean> {
    const call = await readFile(`/proc/${await this.pid()}/cmdline`, 'utf8').catch(() => '');
    return call.includes(this.agent.root);
  }
  begin(wanted: Wanted) {
    return this.site.client.rollouts.create({ strategy: 'pull', ...wanted, selector: `id=${this.agent.id}` });
  }
  async end(rollout: Awaited<ReturnType<Gateway['begin']>>): Promise<{ task: Task; words: string }> {
    const { tasks } = await this.site.ended(rollout, LONG.timeoutMs);
    assert.equal(tasks.length, 1);
    const task = await this.site.client.task(tasks[0]!.id);
    const words = task.transitions?.flatMap(({ messages }) => messages).join('\n') ?? '';
    return { task, words: `${words}\n${wordsOf(tasks)}` };
  }
  async failure(rollout: Awaited<ReturnType<Gateway['begin']>>): Promise<{ task: Task; words: string }> {
    const end = await this.end(rollout);
    assert.notEqual(end.task.state, 'succeeded', end.words);
    return end;
  }
  async fails(wanted: Wanted): Promise<{ task: Task; words: string }> {
    return this.failure(await this.begin(wanted));
  }
  async succeeds(wanted: Wanted): Promise<Task> {
    const { task, words } = await this.end(await this.begin(wanted));
    assert.equal(task.state, 'succeeded', words);
    return task;
  }
  /** Fulfilled with the exit code of the launcher. */
  async stops(): Promise<number | null> {
    await this.agent.process.kill('SIGTERM');
    return this.agent.process.exited;
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.agent[Symbol.asyncDispose]();
    // Where the launcher had to be killed.
    if (await this.runs()) process.kill(await this.pid(), 'SIGKILL');
  }
}

function meter(version: string): ArtifactFiles {
  const start =
    'echo $$ > "$LEONORE_DATA_DIR/pid"; echo "start $LEONORE_VERSION" >> "$LEONORE_DATA_DIR/events"; exec sleep 1000';
  return service('meter', version, {}, { start });
}
