import assert from 'node:assert/strict';
import { chmod, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { isLeonoreError, type Run, runSchema } from '@leonore/protocol';
import { silentLogger } from '../connectivity/mod.ts';
import { temporaryFolder } from '../test-support/temporary-folder.ts';
import { until } from '../test-support/waiting.ts';
import { type Application, applicationEnvironment } from './application.ts';
import { type Container, type ContainerTiming, createContainer } from './container.ts';
import { findMarked, readProcess, terminate } from './process-table.ts';

const TIMING: Partial<ContainerTiming> = { initialMs: 50, maxMs: 400, settleMs: 200, tickMs: 50, scriptMs: 5000 };

async function application(
  root: string,
  scripts: Record<string, string>,
  run: Partial<Run> | null = {},
  version = '1.0.0',
): Promise<Application> {
  const at = join(root, 'app', version);
  const binaryDir = join(at, 'binary');
  const controlDir = join(at, 'control');
  const dataDir = join(root, 'data', 'app');
  for (const dir of [binaryDir, controlDir, dataDir, join(root, 'run')]) await mkdir(dir, { recursive: true });
  for (const [name, text] of Object.entries(scripts)) {
    await writeFile(join(controlDir, name), `#!/bin/sh\n${text}\n`);
    await chmod(join(controlDir, name), 0o755);
  }
  const facts = { name: 'app', version, gatewayId: 'gw-1', binaryDir, controlDir, dataDir };
  return {
    name: 'app',
    version,
    binaryDir,
    controlDir,
    dataDir,
    logFile: join(root, 'app.log'),
    ...(run ? { run: runSchema.parse({ stopTimeoutSeconds: 1, ...run }) } : {}),
    env: applicationEnvironment({ ...facts, installPath: binaryDir, tmpDir: root, needs: [] }),
  };
}

function container(root: string, timing: Partial<ContainerTiming> = {}, maxLogBytes = 1e6): Container {
  return createContainer({
    runDir: join(root, 'run'),
    logger: silentLogger,
    timing: { ...TIMING, ...timing },
    maxLogBytes,
  });
}

const text = (path: string): Promise<string> => readFile(path, 'utf8').catch(() => '');
const running = (app: Application): Promise<number[]> =>
  findMarked(app.dataDir).then((found) => found.filter((one) => one.script === 'start').map((one) => one.pid));

void test('starts an application in its folder with a clear environment, and stops its whole group', async () => {
  await using root = await temporaryFolder();
  await using box = container(root.path);
  process.env['LEONORE_TEST_SECRET'] = 'not for applications';
  const app = await application(root.path, { start: 'env > env.txt; pwd; sleep 300 & sleep 301 & wait' });
  await box.start(app);
  await box.check(app);
  assert.equal(box.status('app')?.state, 'running');
  await until('three processes', async () => (await running(app)).length === 3);
  const env = await text(join(app.binaryDir, 'env.txt'));
  assert.match(env, /^LEONORE_GATEWAY_ID=gw-1$/m);
  assert.match(env, /^LANG=C.UTF-8$/m);
  assert.doesNotMatch(env, /LEONORE_TEST_SECRET/);
  assert.equal((await text(app.logFile)).trim(), app.binaryDir);
  await box.stop('app', app.dataDir);
  assert.deepEqual(await running(app), []);
  assert.equal(box.status('app')?.state, undefined);
});

void test('runs the stop script, and kills what does not listen to SIGTERM, also when it left the group', async () => {
  await using root = await temporaryFolder();
  await using box = container(root.path);
  const app = await application(root.path, {
    start: `trap '' TERM; setsid sh -c "trap '' TERM; while :; do sleep 0.1; done" & while :; do sleep 0.1; done`,
    stop: 'echo stopped >> "$LEONORE_DATA_DIR/stops"',
  });
  await box.start(app);
  await until('the child of its own', async () => (await running(app)).length >= 3);
  const begun = performance.now();
  await box.stop('app', app.dataDir);
  assert.ok(performance.now() - begun >= 1000, 'it had its second');
  assert.deepEqual(await running(app), []);
  assert.equal(await text(join(app.dataDir, 'stops')), 'stopped\n');
});

void test('starts a crashing application again, with growing delays, and tells its state', async () => {
  await using root = await temporaryFolder();
  await using box = container(root.path);
  const app = await application(root.path, { start: 'date +%s%N >> "$LEONORE_DATA_DIR/starts"; exit 3' });
  await box.start(app);
  const starts = await until('five starts', async () => {
    const lines = (await text(join(app.dataDir, 'starts'))).trim().split('\n');
    return lines.length >= 5 && lines.map((line) => Number(line) / 1e6);
  });
  await until('its end', () => box.status('app')?.state === 'failed');
  const gap = (index: number): number => (starts[index + 1] ?? 0) - (starts[index] ?? 0);
  assert.ok(gap(0) >= 50 && gap(3) >= 400, `gaps grow: ${[0, 1, 2, 3].map(gap).join(' ')}`);
  await box.stop('app', app.dataDir);
  const count = (await text(join(app.dataDir, 'starts'))).length;
  await new Promise((resolve) => setTimeout(resolve, 600));
  assert.equal((await text(join(app.dataDir, 'starts'))).length, count, 'no start after the stop');
});

void test('follows run.restart: on-failure leaves a clean end alone, never leaves any', async () => {
  await using root = await temporaryFolder();
  for (const [restart, exit, state] of [
    ['on-failure', 0, 'stopped'],
    ['never', 4, 'failed'],
  ] as const) {
    await using box = container(root.path, { initialMs: 10 });
    const app = await application(
      root.path,
      { start: `echo x >> "$LEONORE_DATA_DIR/${restart}"; exit ${exit}` },
      { restart },
    );
    await box.start(app);
    await until(`${restart} is ${state}`, () => box.status('app')?.state === state);
    await new Promise((resolve) => setTimeout(resolve, 150));
    assert.equal(await text(join(app.dataDir, restart)), 'x\n');
    await box.stop('app', app.dataDir);
  }
});

void test('an application outlives the container and is adopted by the next, its crash noticed', async () => {
  await using root = await temporaryFolder();
  const app = await application(root.path, { start: 'echo up; sleep 300' });
  {
    await using first = container(root.path);
    await first.start(app);
    await first.check(app);
  }
  const [pid] = await running(app);
  assert.ok(pid !== undefined, 'it lives on');
  await using second = container(root.path);
  await second.start(app);
  assert.equal((await running(app))[0], pid, 'not started twice');
  assert.equal(second.status('app')?.state, 'running');
  process.kill(-pid, 'SIGKILL');
  const again = await until('a new start', async () => (await running(app)).find((other) => other !== pid));
  assert.notEqual(again, pid);
  await second.stop('app', app.dataDir);
});

void test('adopts also without its pid file, and never takes a foreign process for its own', async () => {
  await using root = await temporaryFolder();
  const app = await application(root.path, { start: 'exec sleep 300' });
  {
    await using first = container(root.path);
    await first.start(app);
  }
  const [pid] = await running(app);
  const file = join(root.path, 'run', 'app.json');
  const self = await readProcess(process.pid);
  await writeFile(file, JSON.stringify({ ...self, bootId: 'x', application: app }));
  await using second = container(root.path);
  await second.start(app);
  assert.deepEqual(await running(app), [pid]);
  await second.stop('app', app.dataDir);
  assert.deepEqual(await running(app), []);
});

void test('another version that still runs is ended, not adopted', async () => {
  await using root = await temporaryFolder();
  const old = await application(root.path, { start: 'exec sleep 300' }, {}, '1.0.0');
  {
    await using first = container(root.path);
    await first.start(old);
  }
  const [before] = await running(old);
  const fresh = await application(root.path, { start: 'exec sleep 301' }, {}, '2.0.0');
  await using second = container(root.path);
  await second.start(fresh);
  const now = await running(fresh);
  assert.equal(now.length, 1);
  assert.notEqual(now[0], before);
  await second.stop('app', fresh.dataDir);
});

void test('stops what a former agent has left running though it was never started here', async () => {
  await using root = await temporaryFolder();
  const app = await application(root.path, {
    start: 'exec sleep 300',
    stop: 'echo asked >> "$LEONORE_DATA_DIR/stops"',
  });
  {
    await using first = container(root.path);
    await first.start(app);
  }
  await using second = container(root.path);
  await second.stop('app', app.dataDir);
  assert.deepEqual(await running(app), []);
  assert.equal(await text(join(app.dataDir, 'stops')), 'asked\n');
});

void test('health: waits until the script succeeds, fails with the last words when it does not in time', async () => {
  await using root = await temporaryFolder();
  await using box = container(root.path);
  const app = await application(
    root.path,
    {
      start: 'echo starting up; sleep 0.4; touch ready; sleep 300',
      health: 'test -e ready || { echo not yet; exit 1; }',
    },
    { healthTimeoutSeconds: 5 },
  );
  await box.start(app);
  assert.equal(box.status('app')?.state, 'starting');
  await box.check(app);
  assert.equal(box.status('app')?.state, 'running');
  await box.stop('app', app.dataDir);

  const sick = await application(
    root.path,
    { start: 'echo I am sick; sleep 300', health: 'echo no pulse; exit 7' },
    { healthTimeoutSeconds: 1 },
    '2.0.0',
  );
  await box.start(sick);
  await assert.rejects(box.check(sick), (error: unknown) => {
    assert.ok(isLeonoreError(error, 'agent.unhealthy'));
    assert.match(error.message, /not healthy within 1 s: control\/health ended with exit code 7/);
    assert.deepEqual(error.details['output'], ['no pulse', 'I am sick']);
    return true;
  });
  await box.stop('app', sick.dataDir);
});

void test('health: a crash during the window fails at once with exit code and words', async () => {
  await using root = await temporaryFolder();
  await using box = container(root.path);
  const app = await application(root.path, { start: 'echo cannot open port >&2; exit 9', health: 'exit 1' });
  await box.start(app);
  const begun = performance.now();
  await assert.rejects(box.check(app), (error: unknown) => {
    assert.ok(isLeonoreError(error, 'agent.unhealthy'));
    assert.match(error.message, /exit code 9/);
    assert.deepEqual(error.details['output'], ['cannot open port']);
    return true;
  });
  assert.ok(performance.now() - begun < 5000);
  await box.stop('app', app.dataDir);
});

void test('health of a running application shows in its state, both ways', async () => {
  await using root = await temporaryFolder();
  await using box = container(root.path);
  const app = await application(
    root.path,
    { start: 'sleep 300', health: 'test ! -e sick' },
    { healthIntervalSeconds: 1 },
  );
  await box.start(app);
  await box.check(app);
  await writeFile(join(app.binaryDir, 'sick'), '');
  await until('failed', () => box.status('app')?.state === 'failed');
  assert.equal((await running(app)).length > 0, true, 'unhealthy is told, not killed');
  await (await import('node:fs/promises')).rm(join(app.binaryDir, 'sick'));
  await until('running', () => box.status('app')?.state === 'running');
  await box.stop('app', app.dataDir);
});

void test('a script that hangs is killed with its group; one that fails tells its exit code and last lines', async () => {
  await using root = await temporaryFolder();
  await using box = container(root.path, { scriptMs: 500 });
  const hanging = await application(root.path, { install: 'echo begun; sleep 300 & sleep 301' }, null);
  await assert.rejects(box.script(hanging, 'install'), (error: unknown) => {
    assert.ok(isLeonoreError(error, 'agent.script-failed'));
    assert.match(error.message, /did not end within 0.5 s/);
    assert.deepEqual(error.details['output'], ['begun']);
    return true;
  });
  await until('nobody left', async () => (await findMarked(hanging.dataDir)).length === 0);

  const failing = await application(root.path, { install: 'seq 1 100; echo bad >&2; exit 5' }, null);
  await assert.rejects(box.script(failing, 'install'), (error: unknown) => {
    assert.ok(isLeonoreError(error, 'agent.script-failed'));
    assert.equal(error.details['exitCode'], 5);
    const output = error.details['output'] as string[];
    assert.equal(output.length, 20);
    assert.equal(output.at(-1), 'bad');
    return true;
  });
});

void test('a script that floods its output or leaves a daemon behind does no harm', async () => {
  await using root = await temporaryFolder();
  await using box = container(root.path);
  const flood = await application(
    root.path,
    { install: 'yes 0123456789 | head -c 50000000; sleep 300 & exit 0' },
    null,
  );
  await box.script(flood, 'install');
  await until('nobody left', async () => (await findMarked(flood.dataDir)).length === 0);
});

void test('a script that is not executable is an error that says so; one that is not there is none', async () => {
  await using root = await temporaryFolder();
  await using box = container(root.path);
  const app = await application(root.path, { install: 'exit 0' }, null);
  await chmod(join(app.controlDir, 'install'), 0o644);
  await assert.rejects(box.script(app, 'install'), /control\/install cannot be executed.*EACCES/);
  await box.script(app, 'uninstall');
});

void test('the log is capped while the application goes on writing', async () => {
  await using root = await temporaryFolder();
  await using box = container(root.path, {}, 10_000);
  const app = await application(root.path, {
    start: 'i=0; while :; do i=$((i+1)); echo "line $i of many"; test $((i % 500)) = 0 && sleep 0.1; done',
  });
  await box.start(app);
  await until('a second rotation', async () => {
    const one = await text(`${app.logFile}.1`);
    return Number(/line (\d+)/.exec(one)?.[1] ?? 0) > 3000;
  });
  assert.ok((await stat(`${app.logFile}.1`)).size <= 10_000);
  await box.stop('app', app.dataDir);
  const log = await readFile(app.logFile);
  assert.ok(!log.includes(0), 'no hole where it was cut');
  await terminate(app.dataDir, { graceMs: 0 });
});

void test('a daemon that forks twice and leaves the session ends with its application, and is none of another', async () => {
  await using root = await temporaryFolder();
  await using box = container(root.path);
  const daemon = '(setsid sh -c "exec sleep 310" &) &';
  const app = await application(root.path, { start: `${daemon}\nexec sleep 300` });
  await box.start(app);
  await until('both, each in a group of its own', async () => {
    const found = await running(app);
    const groups = await Promise.all(found.map(async (pid) => (await readProcess(pid))?.group));
    return found.length === 2 && new Set(groups).size === 2;
  });
  await box.stop('app', app.dataDir);
  assert.deepEqual(await running(app), []);
});

void test('a script that hangs is killed with the daemon that left its group, and so is one that is broken off', async () => {
  await using root = await temporaryFolder();
  await using box = container(root.path, { scriptMs: 500 });
  const app = await application(root.path, { install: '(setsid sleep 311 &); sleep 312' }, null);
  await assert.rejects(box.script(app, 'install'), /did not end within/);
  assert.deepEqual(await findMarked(app.dataDir), []);
  await assert.rejects(box.script(app, 'install', AbortSignal.timeout(200)), { name: 'TimeoutError' });
  assert.deepEqual(await findMarked(app.dataDir), []);
});

void test('what cannot be executed is an error in an installation, and tried again when the agent starts', async () => {
  await using root = await temporaryFolder();
  await using box = container(root.path);
  const app = await application(root.path, { start: 'exec sleep 300' });
  const script = join(app.controlDir, 'start');
  await chmod(script, 0o644);
  await assert.rejects(box.start(app), /control\/start cannot be executed.*EACCES/);
  assert.equal(box.status('app'), undefined);
  await box.start(app, { keepTrying: true });
  assert.equal(box.status('app')?.state, 'failed');
  assert.match(box.status('app')?.lastExit?.why ?? '', /EACCES/);
  await chmod(script, 0o755);
  await until('it runs', () => box.status('app')?.state === 'starting');
  await box.stop('app', app.dataDir);
});

void test('the status tells since when it runs, how often it was started again and how it ended, also to the next agent', async () => {
  await using root = await temporaryFolder();
  const clock = { now: 1000 };
  const open = () =>
    createContainer({ runDir: join(root.path, 'run'), logger: silentLogger, timing: TIMING, now: () => clock.now });
  const app = await application(root.path, {
    start: 'test -e "$LEONORE_DATA_DIR/stay" && exec sleep 300; touch "$LEONORE_DATA_DIR/stay"; exit 5',
  });
  {
    await using first = open();
    await first.start(app);
    await until('an end', () => first.status('app')?.lastExit);
    assert.deepEqual(first.status('app')?.lastExit, { at: 1000, code: 5 });
    assert.equal(first.status('app')?.since, undefined, 'nothing runs');
    clock.now = 2000;
    await until('a start', () => first.status('app')?.since === 2000);
    assert.equal(first.status('app')?.restarts, 1);
    await until('the note of it', async () => /"restarts":1/.test(await text(join(root.path, 'run/app.json'))));
  }
  clock.now = 3000;
  await using second = open();
  await second.start(app);
  const { state, since, restarts } = second.status('app') ?? {};
  assert.deepEqual([state, since, restarts], ['running', 2000, 1]);
  const [pid] = await running(app);
  process.kill(pid ?? 0, 'SIGKILL');
  await until('its end', () => second.status('app')?.restarts === 2);
  assert.deepEqual(second.status('app')?.lastExit, { at: 3000 }, 'how, nobody saw');
  await second.stop('app', app.dataDir);
  assert.equal(second.status('app'), undefined);
});
