/** What systemd is told and how its answers are read; real services where systemd runs, else skipped by name. */
import assert from 'node:assert/strict';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { runSchema } from '@leonore/protocol';
import { endingAll, makeApplication, started, testContainer, textOf } from '../../test-support/applications.ts';
import { temporaryFolder } from '../../test-support/temporary-folder.ts';
import { until } from '../../test-support/waiting.ts';
import type { RunnableApplication } from '../application.ts';
import { createSystemdExecutor, endingOf, environmentText, systemdRunArguments } from './systemd.ts';

const here = await createSystemdExecutor({ dir: '/nowhere', group: 'leonore-test' }).available();
const noSystemd = here.available ? false : here.why;

const application: RunnableApplication = {
  name: 'app',
  version: '1.2.3',
  binaryDir: '/var/lib/100%/binary',
  controlDir: '/var/lib/100%/control',
  dataDir: '/data',
  logFile: '/logs/app.log',
  run: runSchema.parse({ stopTimeoutSeconds: 7, limits: { cpu: 1.5, memory: '64MiB', processes: 50 } }),
  env: {},
};

void test('the arguments: who it is, its limits, its end, and no secret among them', () => {
  const secret = { ...application, env: { PASSWORD: 'secret' } };
  const said = systemdRunArguments(
    { application: secret, user: 1_900_000_001 },
    'leonore-1-app.service',
    '/run/app.env',
  );
  assert.deepEqual(said.slice(0, 2), ['--quiet', '--unit=leonore-1-app.service']);
  const asUser = 'setpriv --reuid=1900000001 --regid=1900000001 --clear-groups --inh-caps=-all --bounding-set=-all';
  assert.deepEqual(said.slice(said.indexOf('--')), ['--', ...asUser.split(' '), '/var/lib/100%/control/start']);
  for (const property of [
    'Type=exec',
    'RemainAfterExit=yes',
    'Restart=no',
    'WorkingDirectory=/var/lib/100%%/binary',
    'EnvironmentFile=/run/app.env',
    'StandardOutput=append:/logs/app.log',
    'StandardError=append:/logs/app.log',
    'KillMode=control-group',
    'TimeoutStopSec=7',
    'NoNewPrivileges=yes',
    'CPUQuota=150%',
    'MemoryMax=67108864',
    'TasksMax=50',
  ]) {
    assert.ok(said.includes(`--property=${property}`), property);
  }
  assert.doesNotMatch(said.join(' '), /secret/);
  const plain = { ...application, run: runSchema.parse({}) };
  const least = systemdRunArguments({ application: plain, user: undefined }, 'u.service', '/e').join(' ');
  assert.doesNotMatch(least, /setpriv|NoNewPrivileges|CPUQuota|MemoryMax|TasksMax/);
});

void test('an environment as systemd reads it: quotes, dollars and new lines stay what they are', () => {
  assert.equal(
    environmentText({ A: 'plain', B: 'a "b" \\ $HOME `x`', C: 'two\nlines' }),
    'A="plain"\nB="a \\"b\\" \\\\ \\$HOME \\`x\\`"\nC="two\nlines"\n',
  );
});

void test('how it ended, as systemctl shows it', () => {
  const shown = (code: number, status: number, result: string) =>
    endingOf(`MainPID=0\nResult=${result}\nExecMainCode=${code}\nExecMainStatus=${status}\nActiveState=failed\n`);
  assert.deepEqual(shown(1, 3, 'exit-code'), { code: 3, signal: null });
  assert.deepEqual(shown(1, 0, 'success'), { code: 0, signal: null });
  assert.deepEqual(shown(2, 9, 'signal'), { code: null, signal: 'SIGKILL' });
  assert.deepEqual(shown(2, 9, 'oom-kill'), { code: null, signal: 'SIGKILL', why: 'more memory than its limit' });
  assert.deepEqual(endingOf(''), { code: null, signal: null });
});

void test('a launch clears what is left of the last, and takes the process that systemd names', async () => {
  await using root = await temporaryFolder();
  const calls: string[] = [];
  const executor = createSystemdExecutor({
    dir: join(root.path, 'env'),
    group: 'leonore-1',
    command: (command, args) => {
      calls.push([command, args[0], args[1]].join(' '));
      return Promise.resolve({ code: 0, output: args[0] === 'show' ? `MainPID=${process.pid}\n` : '' });
    },
  });
  const workload = { application: { ...application, env: { A: '1' } }, user: undefined };
  const running = await executor.launch(workload);
  assert.equal(running.pid, process.pid);
  assert.deepEqual(running.limits, { by: 'systemd', cpu: 1.5, memory: 2 ** 26, processes: 50 });
  assert.deepEqual(calls.slice(0, 2), [
    'systemctl stop leonore-1-app.service',
    'systemctl reset-failed leonore-1-app.service',
  ]);
  assert.match(calls[2] ?? '', /^systemd-run --quiet --unit=leonore-1-app\.service/);
  assert.equal(await readFile(join(root.path, 'env/app.env'), 'utf8'), 'A="1"\nLEONORE_SCRIPT="start"\n');
});

void test('what systemd refuses is an error with its words; what has ended at once tells how', async () => {
  await using root = await temporaryFolder();
  const executorOf = (code: number, shown: string) =>
    createSystemdExecutor({
      dir: root.path,
      group: 'leonore-1',
      command: (command, args) =>
        Promise.resolve(
          command === 'systemd-run'
            ? { code, output: 'Failed at step EXEC' }
            : { code: 0, output: args[0] === 'show' ? shown : '' },
        ),
    });
  const workload = { application, user: undefined };
  await assert.rejects(
    executorOf(1, 'MainPID=0\n').launch(workload),
    /systemd cannot run control\/start: Failed at step EXEC/,
  );
  const running = await executorOf(0, 'MainPID=0\nExecMainCode=1\nExecMainStatus=4\n').launch(workload);
  assert.deepEqual(await running.ended, { code: 4, signal: null });
});

void test('where systemd does not run, an application that asks for it is refused in words', {
  skip: here.available,
}, async () => {
  await using root = await temporaryFolder();
  await using box = testContainer(root.path);
  const app = await makeApplication(root.path, { scripts: { start: 'exit 0' }, run: { executor: 'systemd' } });
  assert.match((await box.refusal(app.run)) ?? '', /^executor: systemd takes/);
  await assert.rejects(box.start(app), /app cannot run here: executor: systemd takes/);
});

for (const applicationUsers of ['agent', 'own'] as const) {
  void test(`a real service as ${applicationUsers}: environment, log, exit code, adoption, stop`, {
    skip: noSystemd,
  }, async () => {
    await using root = await temporaryFolder();
    await chmod(root.path, 0o755);
    const app = await makeApplication(root.path, {
      scripts: {
        start:
          'echo "$LEONORE_NAME $(id -u) $(id -G)"; (setsid env -i sleep 306 &); until test -e go; do sleep 0.1; done; exit 3',
      },
      run: { executor: 'systemd', limits: { memory: '64MiB' } },
    });
    await using _end = endingAll(app);
    let user: number;
    {
      await using first = testContainer(root.path, { applicationUsers });
      await first.start(app);
      user = first.status('app')?.user ?? 0;
      assert.equal(user === 0, applicationUsers === 'agent');
      await until('its word', async () => (await textOf(app.logFile)) === `app ${user} ${user}\n`);
      assert.equal(first.status('app')?.limits?.by, 'systemd');
    }
    const [before] = await started(app);
    await using second = testContainer(root.path, { applicationUsers });
    await second.start(app);
    assert.equal((await started(app))[0]?.pid, before?.pid);
    await writeFile(join(app.binaryDir, 'go'), '');
    await until('its end', () => second.status('app')?.lastExit?.code === 3);
    await second.stop('app', app.dataDir);
    assert.deepEqual(await started(app), []);
  });
}
