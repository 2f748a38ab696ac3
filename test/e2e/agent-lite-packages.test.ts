/** agent-lite and what a server may send: downloads that break off, packages that lie, tasks that must not be. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describe } from 'node:test';
import { type AgentProgram, waitFor } from '@leonore/testkit';
import { library, service } from './applications.ts';
import { bench, build, ended, running, wordsOf } from './lite-bench.ts';
import { type RawEntry, rawTar, sha256, type TaskSketch } from './lite-node.ts';
import { inShells, liteShells } from './lite-shells.ts';

/** One file that the manifest names, and one entry that it should not have. */
const HOSTILE: Readonly<Record<string, RawEntry>> = {
  'a symbolic link': { name: 'binary/evil/link', type: '2', link: '/etc' },
  'a hard link': { name: 'binary/evil/link', type: '1', link: 'binary/evil/good' },
  'a device': { name: 'binary/evil/null', type: '3' },
  'a fifo': { name: 'binary/evil/pipe', type: '6' },
  'an absolute path': { name: '/tmp/leonore-lite-was-here', body: 'x' },
  'a path that leads out': { name: 'binary/evil/../../../../outside', body: 'x' },
  "another component's folder": { name: 'binary/other/file', body: 'x' },
  'a file nobody named': { name: 'binary/evil/stranger', body: 'x' },
  'a name with a line break': { name: 'binary/evil/a\nbinary/evil/good', body: 'x' },
};

const shells = await liteShells();
const whole = shells.filter((one) => one.whole);
const download = shells.filter((one) => one.download);

describe('agent-lite', { concurrency: 6 }, () => {
  inShells(
    download,
    'cancels what it loads, goes on where a download ended, and keeps the last report until it is taken',
    async (program) => {
      await using gateway = await bench(program);
      const { node } = gateway;
      let agent = gateway.start();
      const large = (version: string) => ({ ...library('large', version), binary: { noise: randomBytes(400_000) } });
      node.limit = 100_000;
      await node.offer({ id: 1, builds: [build(large('1.0.0'))] });
      const parts = async () => {
        const names = (await readdir(gateway.at('downloads')).catch(() => [])).map((name) =>
          gateway.at('downloads', name),
        );
        return (await Promise.all(names.map(async (name) => (await stat(name)).size))).reduce(
          (sum, size) => sum + size,
          0,
        );
      };
      await waitFor('a part', async () => (await parts()) >= 90_000, { describe: agent.output });
      node.canceling = '1';
      const report = await waitFor('the answer', () => node.cancelReports[0], { describe: agent.output });
      assert.deepEqual([report.status.execution, report.status.result.finished], ['closed', 'success']);

      node.downloads.length = 0;
      const { size } = await node.offer({ id: 2, builds: [build(large('2.0.0'))] });
      await waitFor('a part of the next', async () => node.downloads.length > 0 && (await parts()) >= 90_000);
      await agent.kill('SIGKILL');
      node.limit = Number.POSITIVE_INFINITY;
      node.status = 503;
      agent = gateway.start();
      node.status = 0;
      await waitFor('the rest', () => node.downloads.length > 1, { describe: agent.output });
      node.status = 503;
      await waitFor('it to be installed', () => existsSync(gateway.at('components/large/current')), {
        describe: agent.output,
      });
      await waitFor('the report to be kept', () => existsSync(gateway.at('outbox/2.9')), { describe: agent.output });
      await agent.kill('SIGKILL');
      assert.equal(node.closed(2), undefined);
      node.status = 0;
      agent = gateway.start();
      assert.equal((await ended(node, 2, agent.output)).status.result.finished, 'success');
      assert.match(node.downloads[1]?.range ?? '', /^bytes=\d{5,}-$/);
      const loaded = node.downloads.reduce((sum, { bytes }) => sum + bytes, 0);
      assert.ok(loaded < size * 1.1, `${loaded} bytes for a package of ${size}`);
    },
  );

  inShells(whole, 'refuses packages that lie, and leaves what runs', async (program) => {
    await using gateway = await refusing(program);
    const { root, refused } = gateway;
    for (const [what, entry] of Object.entries(HOSTILE)) {
      const files = [{ path: 'binary/evil/good', mode: 0o644 as const, size: 1, sha256: sha256('x') }];
      const tar = rawTar([{ name: 'binary/evil/good', body: 'x' }, entry]);
      const report = await refused(/the segment of evil has/, { builds: [{ name: 'evil', tar, files }] });
      assert.equal(report.status.execution, 'closed', what);
    }
    assert.ok(!existsSync('/tmp/leonore-lite-was-here') && !existsSync(join(root, '..', 'outside')));
    const builds = [build(service('meter', '1.1.0'), '1.0.0')];
    const flip = (at: (headerSize: number) => number) => (bytes: Buffer, headerSize: number) => {
      const place = at(headerSize);
      bytes[place] = (bytes[place] ?? 0) ^ 1;
    };
    await refused(/segment of meter has another SHA-256/, { builds, damage: flip((size) => size + 40) });
    await refused(/header of the package has another SHA-256/, { builds, damage: flip(() => 60) });
    const wrongFile = [{ path: 'binary/evil/good', mode: 0o644 as const, size: 1, sha256: sha256('y') }];
    const tar = rawTar([{ name: 'binary/evil/good', body: 'x' }]);
    await refused(/files with another SHA-256/, { builds: [{ name: 'evil', tar, files: wrongFile }] });
    await gateway.untouched();
  });

  inShells(whole, 'refuses tasks that are not for it, before they are paid for', async (program) => {
    await using gateway = await refusing(program);
    const { node } = gateway;
    const builds = [build(service('meter', '1.1.0'), '1.0.0')];
    const rejected = async (why: RegExp, sketch: Omit<TaskSketch, 'id'>) => {
      const report = await gateway.refused(why, { builds, ...sketch });
      assert.equal(report.status.execution, 'rejected');
    };
    await rejected(/does not understand/, { metadata: { 'leonore.class': 'class-2' } });
    await rejected(/is for arch pdp11/, { platform: { arch: 'pdp11' } });
    await rejected(/expects other 3.0.0 to be there/, { keep: [{ name: 'other', version: '3.0.0' }] });
    const systemd = service('meter', '1.1.0', { run: { executor: 'systemd' } });
    await rejected(/no executor systemd/, { builds: [build(systemd, '1.0.0')] });
    const older = [build(service('meter', '1.0.0-rc.1'), '1.0.0')];
    await rejected(/older than the 1.0.0 that was installed/, { builds: older });
    node.downloads.length = 0;
    await rejected(/expired/, { metadata: { 'leonore.expires': '1000000000000' } });
    await rejected(/not a task that this agent can do/, { metadata: { 'leonore.encoding': 'zstd' } });
    await rejected(/older than what was done here/, { metadata: { 'leonore.sequence': '1' } });
    await rejected(/not for this gateway, gw-1/, { metadata: { 'leonore.gateway': 'gw-2' } });
    await rejected(/not enough disk space/, { size: 9e14 });
    assert.equal(node.downloads.length, 0, 'not a byte of them was loaded');
    await gateway.untouched();
  });

  inShells(whole, 'goes to an older version only when that is meant, in the order of semver', async (program) => {
    await using gateway = await bench(program);
    const { node } = gateway;
    const agent = gateway.start();
    const versions = ['1.0.0-alpha.beta', '1.0.0-beta.2', '1.0.0-beta.11', '1.0.0', '1.10.0'];
    let id = 0;
    const bring = async (version: string, replaces?: string, metadata = {}) => {
      await node.offer({ id: ++id, builds: [build(library('tool', version), replaces)], metadata });
      return (await ended(node, id, agent.output)).status.execution;
    };
    for (const [n, version] of versions.entries()) {
      assert.equal(await bring(version, versions[n - 1]), 'closed', version);
      if (n > 0) assert.equal(await bring(versions[n - 1]!, version), 'rejected', version);
    }
    assert.equal(await bring('1.9.0', '1.10.0', { 'leonore.downgrade': '["other"]' }), 'rejected');
    assert.equal(await bring('1.9.0', '1.10.0', { 'leonore.downgrade': '["other","tool"]' }), 'closed');
  });
});

/** A gateway on which meter 1.0.0 runs, and goes on to run, whatever is refused. */
async function refusing(program: AgentProgram) {
  const gateway = await bench(program);
  const { node, root } = gateway;
  const agent = gateway.start();
  let id = 1;
  await node.offer({ id, builds: [build(service('meter', '1.0.0'))] });
  assert.equal((await ended(node, id, agent.output)).status.result.finished, 'success');
  const before = await running(root);
  return {
    ...gateway,
    async refused(why: RegExp, sketch: Omit<TaskSketch, 'id'>) {
      await node.offer({ id: ++id, ...sketch });
      const report = await ended(node, id, agent.output);
      assert.equal(report.status.result.finished, 'failure');
      assert.match(wordsOf(report), why);
      assert.deepEqual(
        report.installed?.map(({ name, version, state }) => [name, version, state]),
        [['meter', '1.0.0', 'running']],
      );
      return report;
    },
    async untouched() {
      assert.deepEqual(await running(root), before, 'nothing was restarted');
      assert.deepEqual((await readdir(gateway.at('components'))).toSorted(), ['meter']);
    },
  };
}
