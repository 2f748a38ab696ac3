/** Each file that the agent remembers by, torn, zeroed, spoiled or gone, at rest and in the middle of a change: it heals. */
import assert from 'node:assert/strict';
import { cp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { DdiFeedback } from '@leonore/protocol';
import { findMarked } from '../container/mod.ts';
import { agentOptions, applicationsOf, kill, startAgent, startAgentProcess } from '../test-support/agents.ts';
import { startFakeServer } from '../test-support/fake-server.ts';
import { type ArtifactSketch, makeTask, offerTask, type TaskSketch } from '../test-support/packages.ts';
import { temporaryFolder } from '../test-support/temporary-folder.ts';
import { until } from '../test-support/waiting.ts';

const DAMAGES: Readonly<Record<string, (file: string) => Promise<void>>> = {
  torn: async (file) => truncate(file, Math.floor((await stat(file)).size / 2)),
  zeroed: async (file) => writeFile(file, Buffer.alloc((await stat(file)).size)),
  spoiled: (file) => writeFile(file, '{"schemaVersion":"?","installed":[[]]}\n'),
  gone: (file) => rm(file),
};

const sensor = (version: string, control: Record<string, string> = {}): ArtifactSketch => ({
  name: 'sensor',
  version,
  installPath: '/opt/sensor',
  ...(version === '1.0.0' ? {} : { replaces: '1.0.0' }),
  control,
});

async function bench() {
  const stack = new AsyncDisposableStack();
  const work = stack.use(await temporaryFolder());
  const server = stack.use(await startFakeServer());
  const root = join(work.path, 'gateway');
  stack.use(applicationsOf(root));
  const options = agentOptions(server, root, { applicationUsers: 'agent' });
  const at = (...parts: string[]): string => join(root, ...parts);
  const task = async (sketch: TaskSketch): Promise<DdiFeedback> => {
    await offerTask(server, work.path, sketch);
    return until(`end of task ${sketch.id}`, () => server.closed(String(sketch.id)));
  };
  const running = async (name = 'sensor'): Promise<string> =>
    (await findMarked(at('data', name))).map((one) => `${one.script} ${one.version}`).join();
  /** The gateway as it is now; what runs is ended. */
  const snapshot = async () => {
    const copy = join(work.path, `snapshot-${Math.random()}`);
    await applicationsOf(root)[Symbol.asyncDispose]();
    await cp(root, copy, { recursive: true, verbatimSymlinks: true });
    return async (): Promise<void> => {
      await applicationsOf(root)[Symbol.asyncDispose]();
      await rm(root, { recursive: true });
      await cp(copy, root, { recursive: true, verbatimSymlinks: true });
    };
  };
  const inOrder = (version: string): Promise<unknown> =>
    until(`sensor ${version} is in order`, async () => {
      const holds = (await readdir(at('components/sensor'))).toSorted().join();
      const runs = await running();
      const text = await readFile(at('rootfs/opt/sensor/version.txt'), 'utf8').catch(() => '');
      return runs === `start ${version}` && holds === `${version},current` && text === `${version}\n`;
    });
  return {
    work: work.path,
    server,
    root,
    options,
    at,
    task,
    running,
    snapshot,
    inOrder,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}
const said = (report: DdiFeedback): string => (report.status.details ?? []).join('\n');

// They wait for the agent's delays for the most part.
describe('damaged state', { concurrency: 6 }, () => {
  it('at rest: each file x each damage, and both copies at once', async () => {
    await using gateway = await bench();
    const { server, at } = gateway;
    const first = startAgent(gateway.options);
    await gateway.task({ id: 4, components: [sensor('1.0.0')] });
    const refused = await gateway.task({ id: 5, components: [sensor('2.0.0')], platform: { os: 'plan9' } });
    assert.equal(refused.status.execution, 'rejected');
    const old = await makeTask(server, gateway.work, { id: 3, components: [{ name: 'other' }] });
    const { secret } = server;
    await until('outbox empty', async () => (await readdir(at('outbox'))).length === 0);
    await first.stop();
    const restore = await gateway.snapshot();
    const files = [
      ['state.json'],
      ['state.json.bak'],
      ['state.json', 'state.json.bak'],
      ['identity.json'],
      ['identity.json.bak'],
      ['identity.json', 'identity.json.bak'],
      ['components/sensor/1.0.0/component.json', 'components/sensor/1.0.0/component.json.bak'],
      ['components/sensor/1.0.0/layout.json'],
      ['components/sensor/current'],
      ['rootfs/opt/sensor'],
      ['run/sensor.json'],
    ].flatMap((names) => Object.keys(DAMAGES).map((damage) => ({ names, damage })));
    for (const { names, damage } of files) {
      // Links are there or not.
      const isLink = /current$|opt.sensor$/.test(names[0] ?? '');
      if (isLink && damage !== 'gone') continue;
      await restore();
      server.secret = secret;
      for (const name of names)
        await (DAMAGES[damage] ?? rm)(at(name)).catch((error: NodeJS.ErrnoException) => {
          if (error.code !== 'ENOENT') throw error;
        });
      const what = `${names.join(' and ')} ${damage}`;
      server.reports.length = 0;
      server.requests.length = 0;
      await using _agent = startAgent(gateway.options);
      await gateway.inOrder('1.0.0').catch((error: unknown) => assert.fail(`${what}: ${String(error)}`));
      server.offered = old.deployment;
      const replayed = await until(`${what}: the old task is refused`, () => server.closed('3'));
      assert.match(said(replayed), /older than what was done here/, what);
      const done = await gateway.task({ id: 6, components: [sensor('2.0.0')] });
      assert.equal(done.status.result.finished, 'success', `${what}: ${said(done)}`);
      await gateway.inOrder('2.0.0').catch((error: unknown) => assert.fail(`${what}: ${String(error)}`));
      if (!names.includes('identity.json') || names.length === 1) {
        assert.equal(
          server.requests.filter(({ path }) => path.endsWith('/enrol')).length,
          0,
          `${what}: it knows who it is`,
        );
      }
    }
  });

  /** Where control/install, control/health or control/uninstall waits, the agent is killed. */
  const HALTS = {
    installing: { script: 'install', outcome: '1.0.0' },
    checking: { script: 'health', outcome: '1.0.0' },
    cleaning: { script: 'uninstall', outcome: '2.0.0' },
  } as const;

  for (const [turn, [phase, { script, outcome }]] of Object.entries(HALTS).entries()) {
    it(`in the middle of a change, ${phase}: each file`, async () => {
      await using gateway = await bench();
      const { server, at, work } = gateway;
      const { logger: _logger, ...options } = gateway.options;
      const first = startAgentProcess(options);
      const gate = join(work, 'gate');
      const halt = `test -e '${gate}' || { touch '${work}/halted'; sleep 300; }`;
      const extra: ArtifactSketch = {
        name: 'extra',
        run: null,
        control: { uninstall: phase === 'cleaning' ? halt : 'true' },
      };
      await gateway.task({ id: 4, components: [sensor('1.0.0'), extra] });
      const control = script === 'uninstall' ? {} : { [script]: halt };
      await offerTask(server, work, {
        id: 5,
        components: [sensor('2.0.0', control), { name: 'fresh' }],
        remove: [{ name: 'extra', version: '1.0.0' }],
      });
      await until(`the ${script} script`, () =>
        stat(join(work, 'halted')).then(
          () => true,
          () => false,
        ),
      );
      await kill(first);
      // Whoever had the committed change told of it before.
      const told = server.closed('5');
      assert.equal(told?.status.result.finished, phase === 'cleaning' ? 'success' : undefined);
      server.offered = undefined;
      const restore = await gateway.snapshot();
      await writeFile(gate, '');
      const files = [
        ['journal'],
        ['state.json'],
        ['state.json', 'state.json.bak'],
        ['state.json', 'journal'],
        ['components/sensor/2.0.0/component.json', 'components/sensor/2.0.0/component.json.bak'],
        ['components/sensor/current'],
      ];
      for (const [index, names] of files.entries()) {
        // Dealt over the phases, each file meets each damage once; links are there or not.
        const dealt = ['torn', 'zeroed', 'gone'][(index + turn) % 3] ?? 'gone';
        const damage = names[0]?.endsWith('current') ? 'gone' : dealt;
        const what = `${phase}: ${names.join(' and ')} ${damage}`;
        await restore();
        for (const name of names) await (DAMAGES[damage] ?? rm)(at(name));
        server.reports.length = 0;
        await using _agent = startAgent(gateway.options);
        await gateway.inOrder(outcome).catch((error: unknown) => assert.fail(`${what}: ${String(error)}`));
        const fresh = outcome === '2.0.0' ? 'start 1.0.0' : '';
        await until(`${what}: fresh`, async () => (await gateway.running('fresh')) === fresh);
        const next = await gateway.task({
          id: 6,
          components: [{ name: 'third' }],
          keep: [{ name: 'sensor', version: outcome }],
        });
        assert.equal(next.status.result.finished, 'success', `${what}: ${said(next)}`);
      }
    });
  }

  it('letters of the outbox: torn, zeroed or gone, the end of the task is told all the same', async () => {
    await using gateway = await bench();
    const { server, at } = gateway;
    const first = startAgent(gateway.options);
    await until('enrolled', () => server.profiles.length > 0);
    const made = await makeTask(server, gateway.work, { id: 5, components: [sensor('1.0.0')] });
    // The server takes no report in.
    server.intercept = (request, response) => {
      if (!request.path.includes('/feedback')) return false;
      response.destroy();
      return true;
    };
    server.offered = made.deployment;
    await until('a letter', async () => (await readdir(at('outbox'))).some((name) => name.endsWith('.json')));
    await until('it runs', async () => (await gateway.running()) === 'start 1.0.0');
    await first.stop();
    const [letter = ''] = (await readdir(at('outbox'))).filter((name) => name.endsWith('.json'));
    const restore = await gateway.snapshot();
    server.intercept = () => false;
    for (const damage of Object.keys(DAMAGES)) {
      for (const names of [[letter], [letter, `${letter}.bak`]]) {
        await restore();
        for (const name of names) await DAMAGES[damage]?.(at('outbox', name));
        server.reports.length = 0;
        // Who has not been told offers it again.
        server.offered = made.deployment;
        await using _agent = startAgent(gateway.options);
        const report = await until(`${damage} ${names.length}`, () => server.closed('5'));
        assert.equal(report.status.result.finished, 'success');
        await until('nothing waits', async () => (await readdir(at('outbox'))).length === 0);
      }
    }
  });

  it('parts of a download: torn, zeroed or longer than they should be, the package arrives whole', async () => {
    await using gateway = await bench();
    const { server, at, work } = gateway;
    const big = {
      ...sensor('1.0.0'),
      binary: { data: Buffer.from(Array.from({ length: 60_000 }, (_, i) => (i * i) % 251)) },
    };
    const made = await makeTask(server, work, { id: 5, components: [big] });
    const first = startAgent(gateway.options);
    await until('enrolled', () => server.profiles.length > 0);
    let half = true;
    server.intercept = (request, response) => {
      if (request.path !== made.path || !half) return false;
      response.writeHead(200, {
        'content-length': made.bytes.length,
        etag: server.packages.get(made.path)?.etag ?? '',
      });
      response.write(made.bytes.subarray(0, Math.floor(made.bytes.length / 2)));
      return true;
    };
    server.offered = made.deployment;
    await until('half of it', async () => {
      const names = (await readdir(at('downloads'))).filter((name) => name.endsWith('.part'));
      const sizes = await Promise.all(names.map(async (name) => (await stat(at('downloads', name))).size));
      return sizes.reduce((sum, size) => sum + size, 0) === Math.floor(made.bytes.length / 2);
    });
    await first.stop();
    const restore = await gateway.snapshot();
    half = false;
    const names = await readdir(at('downloads'));
    for (const damage of [...Object.keys(DAMAGES), 'longer']) {
      for (const name of names) {
        await restore();
        if (damage === 'longer') await writeFile(at('downloads', name), Buffer.alloc(200_000, 7));
        else await DAMAGES[damage]?.(at('downloads', name));
        server.reports.length = 0;
        server.offered = made.deployment;
        await using _agent = startAgent(gateway.options);
        const report = await until(`${name} ${damage}`, () => server.closed('5'));
        assert.equal(report.status.result.finished, 'success', `${name} ${damage}: ${said(report)}`);
        assert.deepEqual(await readFile(at('rootfs/opt/sensor/data')), big.binary.data);
      }
    }
  });
});
