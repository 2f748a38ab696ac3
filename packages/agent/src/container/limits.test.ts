/** Limits: real ones where this machine has them, and those of cgroups against a folder that looks like one. */
import assert from 'node:assert/strict';
import { chmod, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { endingAll, makeApplication, started, testContainer, textOf } from '../test-support/applications.ts';
import { temporaryFolder } from '../test-support/temporary-folder.ts';
import { until } from '../test-support/waiting.ts';
import { findCgroupPlace, openCgroups } from './cgroup.ts';
import { createProcessExecutor } from './executors/process.ts';
import { createLimiter, limitsInVain } from './limits.ts';
import { bootId } from './process-table.ts';
import { APPLICATION_IDS, cannotSwitchUser } from './users.ts';

const root = process.getuid?.() === 0;
const place = await findCgroupPlace();
const here = place && (await openCgroups(place, `leonore-test-${process.pid}`, root));
const noCgroups = here ? false : 'this machine has no cgroups of version 2 that these tests may use';
const MIB = 2 ** 20;

/** As the kernel shows the top of a hierarchy. */
async function fakeCgroups(path: string, controllers = 'cpuset cpu io memory pids') {
  await mkdir(join(path, 'system.slice/agent'), { recursive: true });
  for (const folder of ['', 'system.slice']) {
    await writeFile(join(path, folder, 'cgroup.controllers'), `${controllers}\n`);
    await writeFile(join(path, folder, 'cgroup.subtree_control'), 'memory\n');
  }
  return { mount: path, own: '/system.slice/agent' };
}

void test('where version 2 is mounted and which cgroup is the own one are read as the kernel writes them', async () => {
  await using folder = await temporaryFolder();
  const self = async (mountinfo: string, cgroup: string) => {
    await writeFile(join(folder.path, 'mountinfo'), mountinfo);
    await writeFile(join(folder.path, 'cgroup'), cgroup);
    return findCgroupPlace(folder.path);
  };
  const V2 = '35 24 0:30 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n';
  const V1 = '36 24 0:31 / /sys/fs/cgroup/cpu rw shared:10 - cgroup cgroup rw,cpu\n';
  assert.deepEqual(await self(`24 1 0:22 / /sys rw - sysfs sysfs rw\n${V2}`, '0::/system.slice/leonore.service\n'), {
    mount: '/sys/fs/cgroup',
    own: '/system.slice/leonore.service',
  });
  const HYBRID = V1 + V2.replace('/sys/fs/cgroup', '/sys/fs/cgroup/unified');
  assert.deepEqual(await self(HYBRID, '4:memory:/x\n0::/\n'), { mount: '/sys/fs/cgroup/unified', own: '/' });
  assert.equal(await self(V1, '4:memory:/x\n'), undefined);
  assert.equal(await findCgroupPlace(join(folder.path, 'nothing')), undefined);
});

void test('a cgroup is made at the top for root and beside its own for others, and given its limits', async () => {
  for (const [asRoot, parent] of [
    [true, ''],
    [false, 'system.slice'],
  ] as const) {
    await using folder = await temporaryFolder();
    const groups = await openCgroups(await fakeCgroups(folder.path), 'leonore-1', asRoot);
    assert.ok(groups);
    const { folder: at, limits } = await groups.confine('app', { cpu: 0.5, memory: 64 * MIB, processes: 50 });
    assert.equal(at, join(folder.path, parent, 'leonore-1/app'));
    assert.deepEqual(limits, { cpu: 0.5, memory: 64 * MIB, processes: 50 });
    const said = await Promise.all(
      ['cpu.max', 'memory.max', 'pids.max'].map((file) => readFile(join(at, file), 'utf8')),
    );
    assert.deepEqual(said, ['50000 100000', String(64 * MIB), '50']);
    await groups.confine('app', { memory: MIB });
    assert.equal(await readFile(join(at, 'cpu.max'), 'utf8'), 'max 100000', 'what is not asked for any more is lifted');
    await writeFile(join(at, 'cgroup.procs'), '12\n34\n');
    assert.deepEqual(await groups.members('app'), [12, 34]);
    assert.deepEqual(await groups.members('other'), []);
  }
});

void test('only what there is a controller for is in force; without any there are no cgroups', async () => {
  await using folder = await temporaryFolder();
  const some = await openCgroups(await fakeCgroups(join(folder.path, 'a'), 'memory pids'), 'leonore-1', true);
  const { limits } = (await some?.confine('app', { cpu: 0.5, memory: MIB })) ?? {};
  assert.deepEqual(limits, { memory: MIB });
  assert.equal(limitsInVain({ cpu: 0.5, memory: MIB }, { by: 'cgroup', ...limits }), 'cpu 0.5');
  assert.equal(await openCgroups(await fakeCgroups(join(folder.path, 'b'), 'hugetlb'), 'leonore-1', true), undefined);
  assert.deepEqual((await readdir(join(folder.path, 'b'))).includes('leonore-1'), false);
});

void test('an application joins its cgroup before it does anything, and is told of the limits that hold it', async () => {
  await using folder = await temporaryFolder();
  const fake = await fakeCgroups(join(folder.path, 'cgroup'));
  const executor = createProcessExecutor({ limiter: createLimiter(() => openCgroups(fake, 'leonore-1', true)) });
  const procs = join(fake.mount, 'leonore-1/app/cgroup.procs');
  const app = await makeApplication(folder.path, {
    scripts: { start: `echo "$$ $(cat ${procs})"; exec sleep 300` },
    run: { limits: { memory: '64MiB' } },
  });
  await using _end = endingAll(app);
  const run = app.run;
  assert.ok(run);
  const workload = { application: { ...app, run }, user: undefined };
  const running = await executor.launch(workload);
  assert.deepEqual(running.limits, { by: 'cgroup', memory: 64 * MIB });
  const said = await until('its word', async () => (await textOf(app.logFile)) || undefined);
  assert.equal(said, `${running.pid} ${running.pid}\n`);

  await writeFile(procs, '');
  const { pid, startTime } = running;
  const known = { pid, startTime, bootId: await bootId(), application: app };
  const adopted = await executor.adopt(workload, known);
  assert.deepEqual([adopted?.pid, adopted?.limits], [pid, { by: 'cgroup', memory: 64 * MIB }]);
  assert.equal(await textOf(procs), String(pid), 'an adopted one that is not in it joins');

  await writeFile(join(fake.mount, 'leonore-1/app/memory.events'), 'low 0\noom 1\noom_kill 1\n');
  const { why } = await (async () => {
    process.kill(-pid, 'SIGKILL');
    return running.ended;
  })();
  assert.equal(why, 'more memory than its limit of 64.0 MiB');
});

void test('nothing starts when the agent is gone before the application has joined its cgroup', async () => {
  await using folder = await temporaryFolder();
  const app = await makeApplication(folder.path, { scripts: { start: 'echo started' } });
  const run = app.run;
  assert.ok(run);
  const limiter = {
    ...createLimiter(() => Promise.resolve(undefined)),
    confine: () =>
      Promise.resolve({
        limits: { by: 'cgroup' as const },
        enter: () => Promise.reject(new Error('gone')),
        shell: [],
        fault: () => Promise.resolve(undefined),
      }),
  };
  await assert.rejects(
    createProcessExecutor({ limiter }).launch({ application: { ...app, run }, user: undefined }),
    /gone/,
  );
  await until('no process', async () => (await started(app)).length === 0);
  assert.equal(await textOf(app.logFile), '');
});

const HUNGRY = `exec ${process.execPath} -e '
  const held = [];
  const timer = setInterval(() => { held.push(Buffer.alloc(8 * 1024 * 1024, 1)); console.log(held.length); }, 1);
  setTimeout(() => { clearInterval(timer); console.log("not limited"); setInterval(() => {}, 1000); }, 5000);'`;

void test('memory: an application that takes more than its limit ends, another beside it does not', async () => {
  await using folder = await temporaryFolder();
  await using box = testContainer(folder.path);
  const hungry = await makeApplication(folder.path, {
    scripts: { start: HUNGRY },
    run: { restart: 'never', limits: { memory: '256MiB' } },
  });
  const other = await makeApplication(folder.path, { name: 'other', scripts: { start: 'exec sleep 300' } });
  await using _end = endingAll(hungry, other);
  await box.start(other);
  await box.start(hungry);
  const { limits } = box.status('app') ?? {};
  assert.equal(limits?.memory, 256 * MIB);
  assert.equal(limits?.by, here ? 'cgroup' : 'rlimit');
  await until('its end', () => box.status('app')?.state === 'failed');
  const words = await textOf(hungry.logFile);
  assert.doesNotMatch(words, /not limited/);
  const held = Math.max(...words.split('\n').map(Number).filter(Number.isFinite));
  assert.ok(held * 8 < 256, `it got ${held * 8} MiB`);
  const { code, signal } = box.status('app')?.lastExit ?? {};
  assert.ok(code !== 0 && (code !== undefined || signal !== undefined));
  await box.stop('app', hungry.dataDir);
  assert.match(box.status('other')?.state ?? '', /starting|running/);
  await box.stop('other', other.dataDir);
});

void test('processes: one with a user of its own cannot fork without end', {
  skip: (await cannotSwitchUser(APPLICATION_IDS)) ?? false,
}, async () => {
  await using folder = await temporaryFolder();
  await chmod(folder.path, 0o755);
  await using box = testContainer(folder.path);
  const app = await makeApplication(folder.path, {
    // It lives on when no fork is left.
    scripts: { start: '(i=0; while [ $i -lt 60 ]; do i=$((i+1)); sleep 300 & done; echo all); exec sleep 300' },
    run: { limits: { processes: 20 } },
  });
  await using _end = endingAll(app);
  await box.start(app);
  assert.equal(box.status('app')?.limits?.processes, 20);
  await until('a fork that failed', async () => /fork|again/i.test(await textOf(app.logFile)));
  assert.ok((await started(app)).length <= 20);
  assert.doesNotMatch(await textOf(app.logFile), /^all$/m);
  await box.stop('app', app.dataDir);
});

void test('a limit that cannot be had here is said in the log and in the status', {
  skip: here ? 'this machine has them all' : false,
}, async () => {
  await using folder = await temporaryFolder();
  const events: unknown[] = [];
  const logger = {
    debug() {},
    warn() {},
    error() {},
    info: (event: string, facts: unknown) => events.push([event, facts]),
  };
  await using box = testContainer(folder.path, { logger });
  const app = await makeApplication(folder.path, {
    scripts: { start: 'exec sleep 300' },
    run: { limits: { cpu: 0.5, memory: '64MiB' } },
  });
  await using _end = endingAll(app);
  await box.start(app);
  assert.deepEqual(events, [['limits', { name: 'app', by: 'rlimit', memory: 64 * MIB, inVain: 'cpu 0.5' }]]);
  const { limits, note } = box.status('app') ?? {};
  assert.deepEqual(limits, { by: 'rlimit', memory: 64 * MIB });
  assert.match(note ?? '', /cannot be limited here: cpu 0\.5/);
  await box.stop('app', app.dataDir);
});

void test('a real cgroup holds an application with all that it forks, and is taken away with it', {
  skip: noCgroups,
}, async () => {
  await using folder = await temporaryFolder();
  const limiter = createLimiter(() => Promise.resolve(here));
  const executor = createProcessExecutor({ limiter });
  const app = await makeApplication(folder.path, {
    scripts: { start: '(setsid env -i sleep 303 &); exec sleep 300' },
    run: { limits: { memory: '64MiB', processes: 20, cpu: 0.5 } },
  });
  const run = app.run;
  assert.ok(run);
  const workload = { application: { ...app, run }, user: undefined };
  const running = await executor.launch(workload);
  assert.equal(running.limits?.by, 'cgroup');
  await until('both', async () => (await limiter.members('app')).length === 2);
  await executor.end(workload, 500);
  assert.deepEqual(await limiter.members('app'), []);
});

after(() => here?.close());
