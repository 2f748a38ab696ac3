/** agent-lite on machines that are not as they should be: half of its folder, no clock, nothing but one folder, a full disk. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, statfs, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { type AgentProgram, endApplications, temporaryFolder, waitFor } from '@leonore/testkit';
import { library, service } from './applications.ts';
import { bareMachine, noBareMachine } from './bare-machine.ts';
import { type Bench, bench, build, ended, running, versions, wordsOf } from './lite-bench.ts';
import { AGENT_LITE, inShells, liteShells } from './lite-shells.ts';
import { withTools } from './lite-tools.ts';

const LITE = { files: [AGENT_LITE], call: ['/bin/ash', '/agent/leonore-agent-lite'] };
const whole = (await liteShells()).filter((one) => one.whole);
const [busybox, dash] = [whole.slice(0, 1), whole.slice(1)];

const meter = (version: string) =>
  service('meter', version, { installPath: '/opt/meter', run: { env: { GREETING: version } } });

const DAMAGES: Readonly<Record<string, (file: string) => Promise<void>>> = {
  torn: async (file) => truncate(file, Math.floor((await stat(file)).size / 2)),
  zeroed: async (file) => writeFile(file, Buffer.alloc((await stat(file)).size)),
  spoiled: async (file) => writeFile(file, '\t{"?": 08}\nx y z\n'),
  gone: (file) => rm(file),
};
/** Each with its second copy beside it, `.bak`. */
const KEPT = ['identity', 'enrolled', 'installed', 'last', 'components/meter/1.0.0/run'];
const OTHERS = ['attempts', 'task', 'run/meter.pid', 'run/.agent.pid', 'outbox/1.9'];
const FOLDERS = ['downloads', 'staging', 'run', 'outbox', 'logs', 'tmp'];

/** With meter 1.0.0 installed, its agent killed, and a report that the server has not taken. */
async function halted(program: AgentProgram): Promise<Bench> {
  const gateway = await bench(program);
  const { node, at } = gateway;
  const agent = gateway.start();
  await node.offer({ id: 1, builds: [build(meter('1.0.0'))] });
  await ended(node, 1, agent.output);
  await waitFor('the report to be taken', async () => (await readdir(at('outbox'))).length === 0);
  await agent.kill('SIGKILL');
  await writeFile(at('outbox/1.9'), (await readFile(at('last'), 'utf8')).split('\n')[1] ?? '');
  return gateway;
}

/** One meter of that version, with its settings, where links lead; the next task is done, an old one refused. */
async function assertInOrder(gateway: Bench, what: string): Promise<void> {
  const { node, root, at } = gateway;
  const agent = gateway.start();
  const describe = agent.output;
  await waitFor(`${what}: 1.0.0 runs`, async () => (await versions(root)).join() === '1.0.0', { describe });
  await waitFor(`${what}: links`, async () =>
    readFile(at('rootfs/opt/meter/version.txt'), 'utf8').then(
      (text) => text === '1.0.0\n',
      () => false,
    ),
  );
  await waitFor(`${what}: its environment`, async () => {
    const [one] = await running(root);
    return one && (await readFile(`/proc/${one.pid}/environ`, 'utf8').catch(() => '')).includes('GREETING=1.0.0');
  });
  await node.offer({ id: 2, builds: [build(meter('1.1.0'), '1.0.0')], metadata: { 'leonore.sequence': '0' } });
  assert.match(wordsOf(await ended(node, 2, agent.output)), /older than what was done here/, what);
  await node.offer({ id: 3, builds: [build(meter('1.1.0'), '1.0.0')] });
  const report = await ended(node, 3, agent.output);
  assert.equal(report.status.result.finished, 'success', `${what}: ${wordsOf(report)}\n${agent.output()}`);
  await waitFor(`${what}: 1.1.0 runs`, async () => (await versions(root)).join() === '1.1.0', { describe });
}

describe('agent-lite on a bad machine', { concurrency: 6 }, () => {
  for (const [damage, act] of Object.entries(DAMAGES)) {
    const shells = damage === 'torn' || damage === 'gone' ? busybox : dash;
    inShells(shells, `heals when half of its folder is ${damage}`, async (program) => {
      await using gateway = await halted(program);
      const enrolments = gateway.node.enrolments;
      const links = ['components/meter/current', 'rootfs/opt/meter'];
      for (const file of [...KEPT, ...OTHERS]) await act(gateway.at(file)).catch(missing);
      if (damage === 'gone')
        for (const path of [...links, ...FOLDERS]) await rm(gateway.at(path), { recursive: true, force: true });
      await assertInOrder(gateway, damage);
      assert.equal(gateway.node.enrolments, enrolments, 'it knows who it is');
    });
  }

  inShells(dash, 'heals when second copies are torn, and comes in anew where both copies are', async (program) => {
    await using gateway = await halted(program);
    const tear = async (names: readonly string[]) => {
      for (const name of names) await DAMAGES['torn']?.(gateway.at(name));
    };
    await tear(KEPT.map((name) => `${name}.bak`));
    const before = gateway.node.enrolments;
    await assertInOrder(gateway, 'second copies');
    assert.equal(gateway.node.enrolments, before);
    await using other = await halted(program);
    for (const name of ['identity', 'identity.bak', 'installed', 'installed.bak'])
      await DAMAGES['zeroed']?.(other.at(name));
    const agent = other.start();
    await waitFor('it to enrol', () => other.node.enrolments === 2, { describe: agent.output });
    assert.deepEqual(other.node.profiles.at(-1)?.['installed'], []);
    await other.node.offer({ id: 5, builds: [build(meter('1.0.0'))] });
    const report = await ended(other.node, 5, agent.output);
    assert.equal(report.status.result.finished, 'success', wordsOf(report));
    await waitFor('one of it to run', async () => (await versions(other.root)).join() === '1.0.0');
  });

  inShells(busybox, 'needs no clock: it goes by that of the server', async (program) => {
    for (const year of ['1970', '2099']) {
      await using folder = await temporaryFolder();
      const tools = withTools(program, folder.path);
      await tools.write(
        'date',
        `case $* in +%s) echo ${year === '1970' ? 60 : 4_080_000_000} ;; *) echo '${year}-01-01 00:01:00' ;; esac; exit`,
      );
      await using gateway = await bench(tools.program);
      const { node } = gateway;
      const agent = gateway.start();
      await node.offer({
        id: 1,
        builds: [build(meter('1.0.0'))],
        metadata: { 'leonore.expires': String(Date.now() - 120_000) },
      });
      assert.match(wordsOf(await ended(node, 1, agent.output)), /expired, by the clock of the server/);
      await node.offer({
        id: 2,
        builds: [build(meter('1.0.0'))],
        metadata: { 'leonore.expires': String(Date.now() + 600_000) },
      });
      const report = await ended(node, 2, agent.output);
      assert.equal(report.status.result.finished, 'success', wordsOf(report));
      assert.ok(agent.output().includes(`${year}-01-01`), 'that was the clock');
    }
  });

  it('does its work with nothing but busybox, a read-only root, no /tmp and one folder', {
    skip: noBareMachine,
  }, async () => {
    // Not below /tmp, so that there need not be one.
    const work = await mkdtemp('/var/tmp/leonore-lite-');
    await using _work = { [Symbol.asyncDispose]: () => rm(work, { recursive: true }) };
    const root = join(work, 'gateway');
    await using gateway = await bench(await bareMachine(work, root, LITE), { root });
    const { node } = gateway;
    const agent = gateway.start();
    const look =
      'ls -d /tmp && exit 1; ls -d /etc && exit 1; touch /bin/x 2>/dev/null && exit 1; echo started >"$LEONORE_DATA_DIR/events"; exec sleep 1000';
    for (const [id, version] of [
      [1, '1.0.0'],
      [2, '1.1.0'],
    ] as const) {
      const artifact = service(
        'meter',
        version,
        {},
        { start: look, health: 'grep -q started "$LEONORE_DATA_DIR/events"' },
      );
      await node.offer({ id, builds: [build(artifact, id === 1 ? undefined : '1.0.0')] });
      const report = await ended(node, id, agent.output);
      assert.equal(report.status.result.finished, 'success', `${wordsOf(report)}\n${agent.output()}`);
    }
    const failing = service('meter', '1.2.0', {}, { start: 'echo no bus; exit 4' });
    await node.offer({ id: 3, builds: [build(failing, '1.1.0')] });
    assert.match(wordsOf(await ended(node, 3, agent.output)), /no bus\nrolled back to meter 1\.1\.0/);
  });

  inShells(whole, 'says what is wrong with a folder that cannot be written', async (program) => {
    await using folder = await temporaryFolder();
    await writeFile(join(folder.path, 'file'), '');
    await using gateway = await bench(program, { root: join(folder.path, 'file', 'gateway') });
    const agent = gateway.start();
    assert.equal(await agent.exited, 1);
    assert.match(agent.output(), /--root is wanted: a folder that can be written/);
  });

  const noDisk = noBareMachine && 'mounting a disk takes root';
  for (const { name, program, skip } of whole) {
    it(`lives through a full disk, and goes on when there is room (${name})`, { skip: skip || noDisk }, async () => {
      await using folder = await temporaryFolder();
      const disk = join(folder.path, 'disk');
      await mkdir(disk);
      execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${64 * 2 ** 20}`, 'none', disk]);
      await using _mounted = { [Symbol.asyncDispose]: async () => void spawnSync('umount', ['-l', disk]) };
      const filler = join(disk, 'filler');
      await using gateway = await bench(program, { root: join(disk, 'gateway') });
      const { node, root } = gateway;
      let agent = gateway.start();
      await node.offer({ id: 1, builds: [build(meter('1.0.0'))] });
      assert.equal((await ended(node, 1, agent.output)).status.result.finished, 'success');

      // Filled by the script that it runs: nothing can be committed, everything goes back.
      const fills = 'dd if=/dev/zero of="$LEONORE_DATA_DIR/fill" bs=65536 2>/dev/null; exit 0';
      await node.offer({
        id: 2,
        builds: [build(library('hog', '1.0.0', {}, { install: fills })), build(meter('1.1.0'), '1.0.0')],
      });
      const failed = await ended(node, 2, agent.output);
      assert.equal(failed.status.result.finished, 'failure');
      await waitFor('1.0.0 to run', async () => (await versions(root)).join() === '1.0.0', { describe: agent.output });

      // Filled by others: what runs goes on, what ends is started again, also by the next agent.
      const fill = async () => {
        const { bavail, bsize } = await statfs(disk);
        await writeFile(filler, Buffer.alloc(bavail * bsize));
      };
      await fill();
      const started = async (not: number) =>
        waitFor(
          'it to be started again',
          async () => {
            const [one, ...more] = await running(root);
            return one && one.pid !== not && more.length === 0 ? one.pid : undefined;
          },
          { describe: agent.output },
        );
      const first = (await running(root))[0]?.pid ?? 0;
      process.kill(first, 'SIGKILL');
      const second = await started(first);
      await agent.kill('SIGKILL');
      agent = gateway.start();
      process.kill(second, 'SIGKILL');
      await started(second);
      await rm(filler);
      await node.offer({ id: 3, builds: [build(meter('1.1.0'), '1.0.0')] });
      const report = await ended(node, 3, agent.output);
      assert.equal(report.status.result.finished, 'success', `${wordsOf(report)}\n${agent.output()}`);
      await waitFor('1.1.0 to run', async () => (await versions(root)).join() === '1.1.0', { describe: agent.output });
      await endApplications(root);
    });
  }
});

function missing(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error;
}
