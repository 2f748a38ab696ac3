/** Applications with users of their own, as real processes. Skipped by name where the tests are not root. */
import assert from 'node:assert/strict';
import { chmod, chown, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { isLeonoreError } from '@leonore/protocol';
import { endingAll, makeApplication, started, testContainer, textOf } from '../test-support/applications.ts';
import { temporaryFolder } from '../test-support/temporary-folder.ts';
import { until } from '../test-support/waiting.ts';
import { readProcess } from './process-table.ts';
import type { Application } from './application.ts';
import { APPLICATION_IDS, cannotSwitchUser } from './users.ts';

const skip = (await cannotSwitchUser(APPLICATION_IDS)) ?? false;

/** As a gateway's folder is: everybody may go through it. */
async function openFolder() {
  const root = await temporaryFolder();
  await chmod(root.path, 0o755);
  return root;
}
/** User, group and supplementary groups. */
async function idsOf(pid: number): Promise<string> {
  const status = await textOf(`/proc/${pid}/status`);
  const [uid, gid] = [/^Uid:\t(\d+)/m, /^Gid:\t(\d+)/m].map((pattern) => pattern.exec(status)?.[1]);
  return `${uid} ${gid} ${/^Groups:\t?(.*)$/m.exec(status)?.[1]?.trim()}`.trim();
}
const written = (path: string) => async (): Promise<string | undefined> => (await textOf(path)) || undefined;
const firstOf = (app: Application) => until('a process', async () => (await started(app))[0]);
const PROBE = [
  'try() { "$@" 2>/dev/null && echo "$* works"; }',
  'echo "home $HOME $PWD $TMPDIR"',
  'try touch "$HOME/mine"; try touch "$TMPDIR/mine"; try touch written-here; try touch "$LEONORE_CONTROL_DIR/start"',
  'try cat "$HOME/../other/secret"; try ls "$HOME/../../run"; try ls "$HOME/../../logs"; echo done; exec sleep 300',
].join('\n');

void test('an application has a user, a home and a folder for temporary files of its own, and can only read its program', {
  skip,
}, async () => {
  await using root = await openFolder();
  await using box = testContainer(root.path);
  const other = await makeApplication(root.path, {
    name: 'other',
    scripts: { start: 'umask 0; echo x > "$HOME/secret"; exec sleep 300' },
  });
  const app = await makeApplication(root.path, { scripts: { start: PROBE } });
  await chmod(join(root.path, 'run'), 0o750);
  await chmod(join(root.path, 'logs'), 0o750);
  await using _end = endingAll(app, other);
  await box.start(other);
  await until('the secret', written(join(other.dataDir, 'secret')));
  await box.start(app);
  const said = await until('the last word', async () => /^([\s\S]*)done\n/.exec(await textOf(app.logFile))?.[1]);
  assert.deepEqual(said.trim().split('\n'), [
    `home ${app.dataDir} ${app.binaryDir} ${app.tmpDir}`,
    `touch ${app.dataDir}/mine works`,
    `touch ${app.tmpDir}/mine works`,
  ]);
  const { user } = box.status('app') ?? {};
  assert.ok(user !== undefined && user >= APPLICATION_IDS.first);
  assert.equal(await idsOf((await firstOf(app)).pid), `${user} ${user}`);
  assert.notEqual(box.status('other')?.user, user);
  await box.stop('app', app.dataDir);
  await writeFile(join(app.tmpDir ?? '', 'stale'), '');
  await box.start(app);
  assert.equal(box.status('app')?.user, user, 'the same again');
  assert.equal(await stat(join(app.tmpDir ?? '', 'stale')).catch(() => undefined), undefined, 'emptied');
  await box.stop('app', app.dataDir);
  await box.stop('other', other.dataDir);
});

void test('control/install runs as the agent and what it makes is given away; health and stop run as the application', {
  skip,
}, async () => {
  await using root = await openFolder();
  await using box = testContainer(root.path);
  const app = await makeApplication(root.path, {
    scripts: {
      install: 'id -u > "$HOME/install"; mkdir "$HOME/sub"; echo 1 > "$HOME/sub/config"; touch "$TMPDIR/works"',
      start: 'echo 2 >> "$HOME/sub/config"; exec sleep 300',
      health: 'id -u > "$HOME/health"',
      stop: 'id -u > "$HOME/stop"',
    },
  });
  await using _end = endingAll(app);
  await box.script(app, 'install');
  await box.start(app);
  await box.check(app);
  const { user } = box.status('app') ?? {};
  await box.stop('app', app.dataDir);
  const said = await Promise.all(
    ['install', 'health', 'stop', 'sub/config'].map((name) => textOf(join(app.dataDir, name))),
  );
  assert.deepEqual(said, ['0\n', `${user}\n`, `${user}\n`, '1\n2\n']);
});

void test('killed in the middle of control/install, the next start still finds a folder of its own', {
  skip,
}, async () => {
  await using root = await openFolder();
  await using box = testContainer(root.path);
  const app = await makeApplication(root.path, { scripts: { start: 'echo x >> "$HOME/log"; exec sleep 300' } });
  await using _end = endingAll(app);
  await box.start(app);
  await until('a first word', written(join(app.dataDir, 'log')));
  await box.stop('app', app.dataDir);
  // As it lies there while the script runs.
  await chown(app.dataDir, 0, 0);
  await chown(join(app.dataDir, 'log'), 0, 0);
  await box.start(app);
  await until('a second word', async () => (await textOf(join(app.dataDir, 'log'))) === 'x\nx\n');
  await box.stop('app', app.dataDir);
});

void test('run.user: root is root, and may go back to a user of its own', { skip }, async () => {
  await using root = await openFolder();
  await using box = testContainer(root.path);
  const start = 'id -u >> "$HOME/who"; touch "$HOME/$LEONORE_VERSION"; exec sleep 300';
  const own = await makeApplication(root.path, { scripts: { start } });
  const asRoot = await makeApplication(root.path, { version: '2.0.0', scripts: { start }, run: { user: 'root' } });
  await using _end = endingAll(own);
  const ids: unknown[] = [];
  for (const app of [own, asRoot, own]) {
    await box.start(app);
    ids.push(box.status('app')?.user);
    const count = ids.length;
    await until(`start ${count}`, async () => (await textOf(join(app.dataDir, 'who'))).split('\n').length > count);
    await box.stop('app', app.dataDir);
  }
  const [first] = ids;
  assert.deepEqual(ids, [first, undefined, first]);
  assert.equal(await textOf(join(own.dataDir, 'who')), `${String(first)}\n0\n${String(first)}\n`);
  assert.equal((await stat(join(own.dataDir, '2.0.0'))).uid, first, 'what it made as root is its own now');
});

void test('a daemon that forks twice, leaves the session and clears its environment is ended with its application', {
  skip,
}, async () => {
  await using root = await openFolder();
  await using box = testContainer(root.path);
  const daemon = `(setsid env -i sh -c 'echo $$ > ${root.path}/data/app/daemon; exec sleep 302' &) &`;
  const app = await makeApplication(root.path, { scripts: { start: `${daemon}\nexec sleep 300` } });
  await using _end = endingAll(app);
  await box.start(app);
  const pid = Number(await until('the daemon', written(join(app.dataDir, 'daemon'))));
  assert.equal(await readFile(`/proc/${pid}/environ`, 'utf8').then((text) => text.includes('LEONORE')), false);
  await box.stop('app', app.dataDir);
  assert.equal(await readProcess(pid), undefined, 'it is gone');
});

void test('it is adopted with its user after the agent was away, also with the note of it lost', { skip }, async () => {
  await using root = await openFolder();
  const app = await makeApplication(root.path, { scripts: { start: 'exec sleep 300' } });
  await using _end = endingAll(app);
  let user: number | undefined;
  {
    await using first = testContainer(root.path);
    await first.start(app);
    await firstOf(app);
    user = first.status('app')?.user;
  }
  const before = await firstOf(app);
  await writeFile(join(root.path, 'run', 'app.json'), '');
  await using second = testContainer(root.path);
  await second.start(app);
  assert.equal((await firstOf(app)).pid, before.pid);
  assert.deepEqual([second.status('app')?.user, second.status('app')?.state], [user, 'running']);
  await second.stop('app', app.dataDir);
  assert.deepEqual(await started(app), []);
});

void test('where its user does not get to its folder it runs as the agent, and says so', { skip }, async () => {
  await using root = await temporaryFolder();
  const warned: unknown[] = [];
  const logger = {
    debug() {},
    info() {},
    error() {},
    warn: (message: string, facts: unknown) => warned.push([message, facts]),
  };
  await using box = testContainer(root.path, { logger });
  const app = await makeApplication(root.path, { scripts: { start: 'exec sleep 300' } });
  await using _end = endingAll(app);
  await box.start(app);
  const why = `runs as the agent's user: its own user does not get to ${root.path}`;
  assert.deepEqual(warned, [['application has no user of its own', { name: 'app', why }]]);
  assert.deepEqual([box.status('app')?.user, box.status('app')?.note], [undefined, why]);
  assert.equal(await idsOf((await firstOf(app)).pid), '0 0');
  await box.stop('app', app.dataDir);
});

void test('strict: nothing of it runs as root; what would have to is refused', { skip }, async () => {
  await using root = await openFolder();
  await using box = testContainer(root.path, { applicationUsers: 'strict' });
  const app = await makeApplication(root.path, {
    scripts: { install: 'id -u > "$HOME/install"', start: 'exec sleep 300' },
  });
  await using _end = endingAll(app);
  await box.script(app, 'install');
  assert.equal(Number(await textOf(join(app.dataDir, 'install'))) >= APPLICATION_IDS.first, true);
  const asRoot = await makeApplication(root.path, {
    name: 'other',
    scripts: { start: 'exit 0' },
    run: { user: 'root' },
  });
  assert.match((await box.refusal(asRoot.run)) ?? '', /run\.user: root, which this gateway does not allow/);
  await assert.rejects(box.start(asRoot), /other cannot run here/);
  assert.equal(await box.refusal(app.run), undefined);
  await chmod(app.binaryDir, 0o700);
  for (const work of [() => box.start(app), () => box.script(app, 'install')]) {
    await assert.rejects(
      work,
      (error: unknown) => isLeonoreError(error, 'agent.unsupported') && /does not get to/.test(error.message),
    );
  }
});

void test('agent: applications run as the agent, as they do where it is not root', async () => {
  await using root = await openFolder();
  await mkdir(join(root.path, 'run'), { recursive: true });
  await using box = testContainer(root.path, { applicationUsers: 'agent' });
  const app = await makeApplication(root.path, { scripts: { start: 'exec sleep 300' } });
  await using _end = endingAll(app);
  await box.start(app);
  assert.equal((await idsOf((await firstOf(app)).pid)).split(' ')[0], String(process.getuid?.()));
  assert.equal(box.status('app')?.user, undefined);
  await box.stop('app', app.dataDir);
});

void test('two agents on one machine leave the applications of each other alone', { skip }, async () => {
  await using root = await openFolder();
  const apps = await Promise.all(
    ['a', 'b'].map((gateway) => makeApplication(join(root.path, gateway), { scripts: { start: 'exec sleep 300' } })),
  );
  const [one, other] = apps as [Application, Application];
  await using _end = endingAll(one, other);
  await using first = testContainer(join(root.path, 'a'));
  await using second = testContainer(join(root.path, 'b'));
  await first.start(one);
  await second.start(other);
  assert.notEqual(first.status('app')?.user, second.status('app')?.user);
  const before = await firstOf(one);
  await second.stop('app', other.dataDir);
  assert.deepEqual(
    (await started(one)).map(({ pid }) => pid),
    [before.pid],
  );
  await first.stop('app', one.dataDir);
});
