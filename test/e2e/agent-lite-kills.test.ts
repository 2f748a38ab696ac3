/**
 * agent-lite killed (-9) in place of the nth command that it calls while it brings an update, and every other time once more while it
 * comes up: the old or the new version runs whole, and the task ends once.
 *
 *   LEONORE_SEED=7 LEONORE_KILLS=100 npm test -- test/e2e/agent-lite-kills.test.ts
 */
import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { describe } from 'node:test';
import { type AgentProgram, waitFor } from '@leonore/testkit';
import { service } from './applications.ts';
import { bench, build, ended, versions, wordsOf } from './lite-bench.ts';
import { inShells, liteShells } from './lite-shells.ts';
import { killer } from './lite-tools.ts';

const SEED = Number(process.env['LEONORE_SEED'] ?? 7);
const KILLS = Number(process.env['LEONORE_KILLS'] ?? 6);
const FILES = Array.from({ length: 20 }, (_, n) => `part-${n}`);
const whole = (await liteShells()).filter((one) => one.whole);

const meter = (version: string) => ({
  ...service('meter', version, { installPath: '/opt/meter', run: { stopTimeoutSeconds: 2 } }, { install: 'true' }),
  binary: Object.fromEntries(['version.txt', ...FILES].map((file) => [file, `${file} of ${version}\n`])),
});

async function assertWhole(binary: string, allowed: readonly string[]): Promise<void> {
  const version = (await readFile(join(binary, 'version.txt'), 'utf8')).trim().split(' ').at(-1) ?? '';
  assert.ok(allowed.includes(version), `${version}, not ${allowed.join(' or ')}`);
  assert.deepEqual((await readdir(binary)).toSorted(), [...FILES, 'version.txt'].toSorted());
  for (const file of FILES) assert.equal(await readFile(join(binary, file), 'utf8'), `${file} of ${version}\n`);
}

async function killAgain(program: AgentProgram, t: { diagnostic(text: string): void }): Promise<void> {
  let state = SEED;
  const random = (below: number): number => (state = (state * 48_271) % 2_147_483_647) % below;
  await using gateway = await bench(program);
  const { node, root, at, work } = gateway;
  const tools = join(work, 'tools');
  await mkdir(tools);
  const kill = await killer(program, tools, root);
  let agent = gateway.start(kill.program);
  await node.offer({ id: 1, builds: [build(meter('1.0.0'))] });
  await ended(node, 1, agent.output);
  const COUNTED = 1_000_000;
  await kill.arm(COUNTED);
  await node.offer({ id: 2, builds: [build(meter('2.0.0'), '1.0.0')] });
  await ended(node, 2, agent.output);
  const commands = COUNTED - ((await kill.disarm()) ?? COUNTED);
  assert.ok(commands > 100, `${commands} commands for an update`);
  t.diagnostic(`LEONORE_SEED=${SEED}, ${commands} commands`);
  for (let id = 3; id < 3 + KILLS; id++) {
    const [old, next] = [`${id - 1}.0.0`, `${id}.0.0`];
    const at_ = 1 + random(commands);
    const what = `killed at command ${at_} of task ${id}`;
    await kill.arm(at_);
    await node.offer({ id, builds: [build(meter(next), old)] });
    const killed = await Promise.race([agent.exited.then(() => true), ended(node, id, agent.output).then(() => false)]);
    if (!killed) await agent.kill('SIGKILL');
    await kill.disarm();
    await assertWhole(at('components/meter', await readlink(at('components/meter/current')), 'binary'), [old, next]);
    if (id % 2 === 0) {
      await kill.arm(1 + random(60));
      agent = gateway.start(kill.program);
      await Promise.race([agent.exited, ended(node, id, agent.output)]);
      await kill.disarm();
      await agent.kill('SIGKILL');
    }
    agent = gateway.start(kill.program);
    const report = await ended(node, id, agent.output);
    assert.equal(report.status.result.finished, 'success', `${what}: ${wordsOf(report)}\n${agent.output()}`);
    await waitFor(`one version (${what})`, async () => (await versions(root)).join() === next, {
      describe: agent.output,
    });
    await assertWhole(at('rootfs/opt/meter'), [next]);
    await waitFor(`the rest to be cleaned up (${what})`, async () => {
      const left = await Promise.all(['staging', 'downloads', 'outbox'].map((dir) => readdir(at(dir))));
      const here = await readdir(at('components/meter'));
      return left.flat().length === 0 && here.length === 2 && !(await readdir(root)).includes('txn');
    });
  }
  const ends = node.reports.filter(({ report }) => report.status.execution === 'closed').map(({ action }) => action);
  assert.deepEqual(
    [...new Set(ends)],
    Array.from({ length: KILLS + 2 }, (_, n) => String(n + 1)),
  );
}

describe('agent-lite, killed at any command', { concurrency: 6 }, () => {
  inShells(whole, 'runs one version whole, and every task ends once', killAgain);
});
