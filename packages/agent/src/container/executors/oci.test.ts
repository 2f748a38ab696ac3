/** Applications in root file systems of their own, by a real runtime; skipped by name where there is none. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFile, mkdir, readdir, rm, rmdir, stat, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { isLeonoreError } from '@leonore/protocol';
import {
  type ApplicationSketch,
  endingAll,
  makeApplication,
  started,
  testContainer,
  textOf,
} from '../../test-support/applications.ts';
import { temporaryFolder } from '../../test-support/temporary-folder.ts';
import { until } from '../../test-support/waiting.ts';
import { findMarked } from '../process-table.ts';
import { createOciExecutor, findRuntime } from './oci.ts';
import { ociConfig } from './oci-config.ts';

const here = await createOciExecutor({ dir: '/nowhere', group: 'leonore-test' }).available();
const CGROUPS = '/sys/fs/cgroup';
const busybox = execFileSync('sh', ['-c', 'command -v busybox || true']).toString().trim();
const skip = here.available ? (busybox === '' ? 'there is no busybox to make a root file system of' : false) : here.why;

/** Busybox with the libraries that it needs, if it needs any. */
async function makeRootfs(file: string): Promise<void> {
  await using folder = await temporaryFolder();
  const linked = execFileSync('sh', ['-c', `ldd ${busybox} 2>/dev/null || true`]).toString();
  for (const path of linked.match(/\/\S+/g)?.filter((one) => !one.endsWith(':')) ?? []) {
    await mkdir(join(folder.path, dirname(path)), { recursive: true });
    await copyFile(path, join(folder.path, path));
  }
  await mkdir(join(folder.path, 'bin'));
  await copyFile(busybox, join(folder.path, 'bin/busybox'));
  for (const name of ['sh', 'sleep', 'cat', 'ls', 'id', 'touch', 'head', 'tail', 'mount']) {
    await symlink('busybox', join(folder.path, 'bin', name));
  }
  await writeFile(join(folder.path, 'only-here'), 'x');
  execFileSync('tar', ['-cf', file, '-C', folder.path, '.']);
}

async function makeOciApplication(root: string, sketch: ApplicationSketch) {
  const run = { executor: 'oci', oci: { rootfs: 'rootfs.tar' }, ...sketch.run };
  const app = await makeApplication(root, { ...sketch, run });
  await makeRootfs(join(app.binaryDir, 'rootfs.tar'));
  await using stack = new AsyncDisposableStack();
  // The folders above those of the applications are for the agent's next start. Refused where somebody is in them.
  stack.defer(async () => {
    for (const hierarchy of ['', ...(await readdir(CGROUPS).catch(() => []))]) {
      for (const name of await readdir(join(CGROUPS, hierarchy)).catch(() => [])) {
        if (/^leonore-[0-9a-f]{8}$/.test(name)) await rmdir(join(CGROUPS, hierarchy, name)).catch(() => undefined);
      }
    }
  });
  stack.use(endingAll(app));
  // What a runtime that was killed could not do any more.
  stack.defer(async () => {
    const state = join(root, 'run/.oci/state');
    for (const id of await readdir(state).catch(() => []))
      execFileSync('runc', ['--root', state, 'delete', '--force', id]);
  });
  return { app, ending: stack.move() };
}

void test('an application sees its root file system and its own folders, as its own user without rights', {
  skip,
}, async () => {
  await using root = await temporaryFolder();
  await using box = testContainer(root.path);
  const { app, ending } = await makeOciApplication(root.path, {
    scripts: {
      start: [
        'ls /; id -u; echo "$LEONORE_NAME $HOME"',
        'touch "$HOME/mine" && echo data; touch "$TMPDIR/mine" && echo temporary; touch /tmp/mine && echo tmp',
        'touch /here 2>/dev/null && echo root-written; touch "$LEONORE_BINARY_DIR/x" 2>/dev/null && echo binary-written',
        'mount -t tmpfs x /run 2>/dev/null && echo mounted',
        'echo pid $$; exec sleep 300',
      ].join('\n'),
    },
  });
  await using _ending = ending;
  await box.script(app, 'install');
  await box.start(app);
  const said = (
    await until('the last word', async () => /^([\s\S]*)pid 1\n/.exec(await textOf(app.logFile))?.[1])
  ).split('\n');
  const { user, executor } = box.status('app') ?? {};
  assert.equal(executor, 'oci');
  assert.ok(user !== undefined && said.includes(String(user)), said.join(' '));
  assert.deepEqual(said.slice(said.indexOf('only-here')).includes('sys'), true);
  assert.deepEqual(said.slice(said.indexOf(String(user)) + 1), [`app ${app.dataDir}`, 'data', 'temporary', 'tmp', '']);
  assert.equal((await stat(join(app.dataDir, 'mine'))).uid, user);
  await box.stop('app', app.dataDir);
  assert.deepEqual(await findMarked(app.dataDir), []);
  assert.deepEqual(await readdir(join(root.path, 'run/.oci/state')), [], 'the runtime has forgotten it');
});

void test('its exit code is told and it is started again; health and stop run inside', { skip }, async () => {
  await using root = await temporaryFolder();
  await using box = testContainer(root.path);
  const { app, ending } = await makeOciApplication(root.path, {
    scripts: {
      start: 'trap "exit 0" TERM; echo start >> "$HOME/said"; until test -e "$HOME/go"; do sleep 0.1; done; exit 7',
      health:
        'test -e /only-here || exit 4; echo "health $(id -u)" >> "$HOME/said"; test ! -e "$HOME/hang" || { sleep 307 & sleep 308; }',
      stop: 'test -e /only-here && echo stop >> "$HOME/said"',
    },
    run: { healthIntervalSeconds: 1, health: { timeoutSeconds: 2, restart: false, failures: 1 } },
  });
  await using _ending = ending;
  await box.start(app);
  await box.check(app);
  const { user } = box.status('app') ?? {};
  const said = (): Promise<string> => textOf(join(app.dataDir, 'said'));
  assert.equal((await said()).split('\n').slice(0, 2).join(), `start,health ${user}`);
  await writeFile(join(app.dataDir, 'hang'), '');
  await until('unhealthy', () => box.status('app')?.state === 'failed');
  assert.match(box.status('app')?.note ?? '', /control\/health was killed/);
  await rm(join(app.dataDir, 'hang'));
  await until('well again', () => box.status('app')?.state === 'running');
  const checks = async () => (await findMarked(app.dataDir)).filter(({ script }) => script === 'health');
  await until('nothing left of the check that hung', async () => (await checks()).length === 0);
  await writeFile(join(app.dataDir, 'go'), '');
  await until('its end', () => box.status('app')?.lastExit?.code === 7);
  await rm(join(app.dataDir, 'go'));
  await until(
    'a second start',
    async () => (await said()).match(/start/g)?.length === 2 && box.status('app')?.state !== 'failed',
  );
  await box.stop('app', app.dataDir);
  assert.match(await said(), /^stop$/m);
});

void test('it outlives the container, is adopted by the next and ended with all of it, also after a crash of the runtime', {
  skip,
}, async () => {
  await using root = await temporaryFolder();
  const { app, ending } = await makeOciApplication(root.path, {
    scripts: { start: '(busybox setsid sleep 309 &); while :; do echo alive; sleep 0.1; done' },
  });
  await using _ending = ending;
  {
    await using first = testContainer(root.path);
    await first.start(app);
    await until('a word', async () => (await textOf(app.logFile)) !== '');
  }
  const [before] = await started(app);
  const size = async (): Promise<number> => (await stat(app.logFile)).size;
  const then = await size();
  await until('more words', async () => (await size()) > then);
  await using second = testContainer(root.path);
  await second.start(app);
  assert.equal((await started(app))[0]?.pid, before?.pid);
  assert.equal(second.status('app')?.state, 'running');
  process.kill(before?.pid ?? 0, 'SIGKILL');
  await until(
    'a new one',
    async () =>
      (await started(app)).some(({ pid, group }) => pid === group && pid !== before?.pid) &&
      second.status('app')?.restarts === 1,
  );
  await second.stop('app', app.dataDir);
  assert.deepEqual(await findMarked(app.dataDir), []);
});

void test('limits are those of its cgroup', { skip }, async () => {
  await using root = await temporaryFolder();
  await using box = testContainer(root.path);
  const { app, ending } = await makeOciApplication(root.path, {
    scripts: { start: 'echo begun; tail /dev/zero; echo survived' },
    run: { restart: 'never', limits: { memory: '32MiB', processes: 20 } },
  });
  await using _ending = ending;
  await box.start(app);
  assert.deepEqual(box.status('app')?.limits, { by: 'cgroup', memory: 32 * 2 ** 20, processes: 20 });
  await until('its end', () => box.status('app')?.lastExit !== undefined);
  const words = await textOf(app.logFile);
  assert.match(words, /begun/);
  assert.ok(!/survived/.test(words) || /Killed/i.test(words), words);
  await box.stop('app', app.dataDir);
});

void test('a root file system that is not in the package is said before its install script runs', {
  skip,
}, async () => {
  await using root = await temporaryFolder();
  await using box = testContainer(root.path);
  const { app, ending } = await makeOciApplication(root.path, {
    scripts: { install: 'touch "$HOME/installed"', start: 'exit 0' },
  });
  await using _ending = ending;
  await rm(join(app.binaryDir, 'rootfs.tar'));
  await assert.rejects(
    box.script(app, 'install'),
    (error: unknown) => isLeonoreError(error, 'agent.unsupported') && /rootfs\.tar/.test(error.message),
  );
  assert.deepEqual(await readdir(app.dataDir), []);
});

void test('where no runtime works, an application that asks for one is refused in words', async () => {
  const why = await findRuntime(['no-such-runtime']);
  assert.ok(typeof why === 'string' && why.startsWith('executor: oci takes'));
  assert.equal(typeof (await findRuntime(['busybox'])), 'string', 'what is no runtime is none');
});

void test('the configuration leaves an application with its own user no right at all, and root those of a container', async () => {
  await using root = await temporaryFolder();
  const { run, ...app } = await makeApplication(root.path, { run: { limits: { cpu: 0.25 } } });
  assert.ok(run);
  const facts = { cgroup: '/leonore-1/app', hostFiles: ['/etc/hosts'] };
  const own = ociConfig({ ...app, run, needs: ['/needed/binary'] }, 1_900_000_001, facts);
  assert.deepEqual(own.process.user, { uid: 1_900_000_001, gid: 1_900_000_001 });
  assert.deepEqual(own.process.capabilities.bounding, []);
  assert.equal(own.process.noNewPrivileges && own.root.readonly, true);
  assert.deepEqual(own.linux.resources.cpu, { quota: 25_000, period: 100_000 });
  const optionsOf = (path: string): string[] => [
    ...(own.mounts.find(({ destination }) => destination === path)?.options ?? []),
  ];
  for (const path of ['/needed/binary', app.binaryDir, app.controlDir, '/etc/hosts']) {
    assert.ok(optionsOf(path).includes('ro'), path);
  }
  assert.ok(optionsOf(app.dataDir).includes('rw'));
  const asRoot = ociConfig({ ...app, run }, undefined, facts);
  assert.equal(asRoot.process.user.uid, 0);
  assert.ok(asRoot.process.capabilities.bounding.includes('CAP_NET_BIND_SERVICE'));
  assert.ok(!asRoot.process.capabilities.bounding.includes('CAP_SYS_ADMIN'));
});
