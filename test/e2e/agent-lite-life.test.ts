/** agent-lite and the life of applications: their environment, starts, health, and how often it asks. */
import assert from 'node:assert/strict';
import { readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describe } from 'node:test';
import { type AgentProgram, endApplications, freePort, waitFor } from '@leonore/testkit';
import { library, service } from './applications.ts';
import { bench, build, ended, running, versions, wordsOf } from './lite-bench.ts';
import { inShells, liteShells } from './lite-shells.ts';

const shells = await liteShells();
const whole = shells.filter((one) => one.whole);
const dash = shells.filter(({ name }) => name === 'dash');

describe('agent-lite', { concurrency: 6 }, () => {
  inShells(whole, 'gives control scripts their environment, and files their modes', async (program) => {
    await using gateway = await bench(program);
    const { node, root } = gateway;
    const agent = gateway.start('--label', 'site=a "quoted" place');
    const install =
      'env | sort > "$LEONORE_DATA_DIR/env-$LEONORE_VERSION"; pwd >> "$LEONORE_DATA_DIR/env-$LEONORE_VERSION"';
    const tool = (version: string) => ({
      ...library('lib.tool', version, { installPath: '/opt/lib tool' }, { install }),
      binary: { 'a b (ü).txt': 'odd name\n', 'bin/run': '#!/bin/sh\n' },
    });
    const env = { GREETING: 'a "b" \\ $c', HOME: '/nowhere' };
    const app = service('app', '1.0.0', { run: { env } }, { install });
    await node.offer({ id: 1, builds: [build(tool('1.0.0')), { artifact: app, after: ['lib.tool'] }] });
    assert.equal(wordsOf(await ended(node, 1, agent.output)), 'lib.tool 1.0.0 installed\napp 1.0.0 installed');
    const data = gateway.at('data/app');
    const dir = gateway.at('components/app/1.0.0');
    const need = gateway.at('components/lib.tool/1.0.0/binary');
    const told = await readFile(join(data, 'env-1.0.0'), 'utf8');
    const lines = told.split('\n').filter((line) => !/^(PWD|SHLVL|_|OLDPWD)=/.test(line));
    assert.deepEqual(lines, [
      'GREETING=a "b" \\ $c',
      `HOME=${data}`,
      'LANG=C.UTF-8',
      `LEONORE_BINARY_DIR=${dir}/binary`,
      `LEONORE_CONTROL_DIR=${dir}/control`,
      `LEONORE_DATA_DIR=${data}`,
      'LEONORE_GATEWAY_ID=gw-1',
      `LEONORE_INSTALL_PATH=${dir}/binary`,
      'LEONORE_NAME=app',
      `LEONORE_PATH_LIB_TOOL=${need}`,
      'LEONORE_SCRIPT=install',
      'LEONORE_VERSION=1.0.0',
      `PATH=${need}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
      `TMPDIR=${gateway.at('tmp/app')}`,
      `${dir}/binary`,
      '',
    ]);
    assert.equal(await readFile(gateway.at('rootfs/opt/lib tool/a b (ü).txt'), 'utf8'), 'odd name\n');
    assert.equal((await stat(join(dir, 'control/start'))).mode & 0o7777, 0o755);
    await node.offer({ id: 2, builds: [build(tool('1.1.0'), '1.0.0')] });
    await ended(node, 2, agent.output);
    const later = await readFile(gateway.at('data/lib.tool/env-1.1.0'), 'utf8');
    assert.match(later, /^LEONORE_PREVIOUS_VERSION=1\.0\.0$/m);
    assert.match(later, new RegExp(`^LEONORE_INSTALL_PATH=${root}/rootfs/opt/lib tool$`, 'm'));
    await waitFor('the profile', () => JSON.stringify(node.profiles.at(-1)?.['installed'])?.includes('1.1.0'));
    const { labels, encodings, strategies } = node.profiles.at(-1) ?? {};
    assert.deepEqual(
      { labels, encodings, strategies },
      {
        labels: { site: 'a "quoted" place' },
        encodings: ['gzip'],
        strategies: ['pull'],
      },
    );
  });

  inShells(
    whole,
    'leaves applications running while it is away, starts those that end, and lets nobody else in',
    async (program) => {
      await using gateway = await bench(program);
      const { node, root } = gateway;
      const first = gateway.start();
      await node.offer({ id: 1, builds: [build(service('meter', '1.0.0'))] });
      await ended(node, 1, first.output);
      const [app] = await running(root);
      assert.ok(app);
      const second = gateway.start();
      assert.equal(await second.exited, 1);
      assert.match(second.output(), /another agent \(process \d+\) works in/);
      await first.kill('SIGTERM');
      assert.equal(await first.exited, 0);
      assert.deepEqual(await running(root), [app]);
      const third = gateway.start();
      const polls = node.polls.length;
      await waitFor('it to poll', () => node.polls.length > polls, { describe: third.output });
      await third.kill('SIGKILL');
      assert.deepEqual(await running(root), [app]);
      const fourth = gateway.start();
      process.kill(app.pid, 'SIGKILL');
      const again = await waitFor(
        'it to be started again',
        async () => (await running(root)).find(({ pid }) => pid !== app.pid),
        { describe: fourth.output },
      );
      assert.equal(again.version, '1.0.0');
      assert.equal(await gateway.events('meter'), 'start 1.0.0\nstart 1.0.0\n');
      assert.ok(node.polls.some((headers) => headers['if-none-match'] !== undefined));
    },
  );

  inShells(whole, 'asks for health by tcp and http', async (program) => {
    await using gateway = await bench(program);
    const { node } = gateway;
    const agent = gateway.start();
    const port = await freePort();
    const answering = (version: string, status: number) =>
      service(
        'web',
        version,
        {
          run: {
            healthTimeoutSeconds: 6,
            health: { tcp: { port }, http: { port, path: '/health?a=b', status: 204 } },
          },
        },
        {
          start: `exec '${process.execPath}' -e "require('http').createServer((_, s) => s.writeHead(${status}).end()).listen(${port})"`,
          health: 'exit 0',
        },
      );
    await node.offer({ id: 1, builds: [build(answering('1.0.0', 204))] });
    assert.equal(wordsOf(await ended(node, 1, agent.output)), 'web 1.0.0 installed');
    await node.offer({ id: 2, builds: [build(answering('2.0.0', 500), '1.0.0')] });
    const words = wordsOf(await ended(node, 2, agent.output));
    assert.match(words, /not healthy within 6 s: http:\/\/127\.0\.0\.1:\d+\/health\?a=b: it answered 500/);
    assert.match(words, /rolled back to web 1\.0\.0/);
    await node.offer({
      id: 3,
      builds: [build({ ...answering('3.0.0', 204), control: { start: 'exec sleep 100' } }, '1.0.0')],
    });
    assert.match(wordsOf(await ended(node, 3, agent.output)), /tcp \d+: nothing listens there/);
  });

  inShells(whole, 'asks once and ends with --once, and runs nothing twice', async (program) => {
    await using gateway = await bench(program);
    const { node, root } = gateway;
    await node.offer({ id: 1, builds: [build(service('meter', '1.0.0'))] });
    for (const _ of [1, 2]) {
      const agent = gateway.start('--once');
      assert.equal(await agent.exited, 0, agent.output());
    }
    assert.equal(node.closed(1)?.status.result.finished, 'success');
    assert.deepEqual(await versions(root), ['1.0.0']);
    assert.equal(await gateway.events('meter'), 'start 1.0.0\n');
  });

  inShells(
    whole,
    'starts what is installed after a reboot, and ends what its scripts leave behind',
    async (program) => {
      await using gateway = await bench(program);
      const { node, root } = gateway;
      const first = gateway.start();
      const leaves = 'sleep 1000 & exec true';
      await node.offer({
        id: 1,
        builds: [build(service('meter', '1.0.0')), build(library('tool', '1.0.0', {}, { install: leaves }))],
      });
      assert.equal((await ended(node, 1, first.output)).status.result.finished, 'success');
      assert.deepEqual(
        (await running(root)).map(({ script }) => script),
        ['start'],
      );
      await first.kill('SIGKILL');
      await endApplications(root);
      await rm(gateway.at('run'), { recursive: true });
      const second = gateway.start();
      await waitFor('it to run', async () => (await versions(root)).join() === '1.0.0', { describe: second.output });
    },
  );

  inShells(whole, 'does not take for healthy what is well now and then', async (program) => {
    await using gateway = await bench(program);
    const { node, root } = gateway;
    const agent = gateway.start();
    const flaps = 'n=$(cat "$LEONORE_DATA_DIR/n" 2>/dev/null); echo $((n + 1)) >"$LEONORE_DATA_DIR/n"; exit $((n % 2))';
    const run = { healthTimeoutSeconds: 3 };
    await node.offer({ id: 1, builds: [build(service('meter', '1.0.0', { run }, { health: flaps }))] });
    const report = await ended(node, 1, agent.output);
    assert.match(
      wordsOf(report),
      /could not check the health of meter 1.0.0: it was not healthy within 3 s: .* exit code 1/,
    );
    await waitFor('it to be gone', async () => (await running(root)).length === 0);
  });

  // busybox's wget does not show the headers of such answers: it goes by its own delays.
  inShells(dash, 'comes back as late as the server says', async (program) => {
    const [first = 0, second = 0] = await refusedTimes(program, 2, '6');
    // Its clock has whole seconds. By itself it would come back after 2.
    assert.ok(second - first > 5000, `after ${second - first} ms`);
  });

  inShells(whole, 'comes back later each time', async (program) => {
    const times = await refusedTimes(program, 4);
    const delays = times.slice(1).map((time, n) => time - (times[n] ?? 0));
    // 2, 4, 8 s, a tenth to either side, by a clock of whole seconds.
    for (const [n, atLeast] of [500, 2500, 6000].entries())
      assert.ok((delays[n] ?? 0) > atLeast, `delays of ${delays.join(', ')} ms`);
  });
});

/** When it asked a server that sends it away. */
async function refusedTimes(program: AgentProgram, count: number, retryAfter?: string): Promise<readonly number[]> {
  await using gateway = await bench(program);
  const { node } = gateway;
  const agent = gateway.start();
  await waitFor('it to ask', () => node.polls.length > 0, { describe: agent.output });
  Object.assign(node, { status: 429, retryAfter });
  return await waitFor('it to ask again', () => node.refused.length >= count && [...node.refused], {
    timeoutMs: 60_000,
  });
}
