/** A process that makes deltas and is killed: what is left is whole, and nothing is left over. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ABLE, applied, type Build, nextRelease, openDeltaRig, updatePackage } from './testing/delta-rig.ts';

const RELEASES = 40;
const KILLS = 6;
const RIG = JSON.stringify(new URL('./testing/delta-rig.ts', import.meta.url).href);

/** Makes the deltas between these releases, each announced with a line, until it is killed. */
async function killWhileMaking(dir: string, contents: readonly string[], afterMs: number): Promise<number> {
  const script = `
    const { openDeltaRig } = await import(${RIG});
    const rig = await openDeltaRig(${JSON.stringify(dir)}, { retryAfterMs: 0 });
    const contents = ${JSON.stringify(contents)};
    for (let n = 1; n < contents.length; n++) {
      await rig.deltas.bytes({ from: contents[n - 1], to: contents[n] });
      console.log(n);
    }
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'pipe'] });
  let complaints = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (complaints += text));
  const exited = new Promise((resolve) => child.once('exit', resolve));
  const begun = new Promise((resolve) => child.stdout.once('data', resolve));
  let made = 0;
  child.stdout.on('data', (lines: Buffer) => (made += lines.toString().split('\n').length - 1));
  await Promise.race([begun, exited]);
  assert.equal(child.exitCode, null, complaints);
  await sleep(afterMs);
  child.kill('SIGKILL');
  await exited;
  return made;
}

it('deltas that are there after kill -9 are whole, and a collection leaves no blob without a row', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'leonore-deltas-killed-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const builds: Build[] = [];
  {
    await using rig = await openDeltaRig(dir);
    let tar: Buffer = randomBytes(60_000);
    for (let n = 1; n <= RELEASES; n++) {
      builds.push(await rig.publish(`${n}.0.0`, tar));
      tar = nextRelease(tar);
    }
  }
  const contents = builds.map(({ artifact }) => artifact.contentSha256);
  let whole = 0;
  for (let kill = 1; kill <= KILLS; kill++) {
    await killWhileMaking(dir, contents, kill * 3);
    await using rig = await openDeltaRig(dir, { retryAfterMs: 0 });
    // Both clocks say the same here, so what broke off is old enough to be looked at.
    rig.clock.now += 1;
    await rig.deltas.collect();
    const blobs = new Set(await rig.deltaBlobs());
    let ready = 0;
    for (const [n, to] of builds.entries()) {
      const from = builds[n - 1];
      if (!from) continue;
      const record = updatePackage(from, to);
      const row = await rig.repositories.read.deltas.find({ from: contents[n - 1]!, to: contents[n]! });
      if (!row) continue;
      assert.equal(row.state, 'ready');
      const [offer] = await rig.deltas.offers(record, () => Promise.resolve(ABLE));
      assert.ok(offer);
      const bytes = await rig.download(record, offer.sha256);
      assert.ok(bytes && (await applied(bytes, from, to.tar.length)).equals(to.tar));
      assert.ok(blobs.delete(offer.sha256));
      assert.equal(createHash('sha256').update(bytes).digest('hex'), offer.sha256);
      ready++;
    }
    assert.deepEqual([...blobs], []);
    assert.ok(ready >= whole, 'what was there stays');
    assert.ok(ready > 0);
    whole = ready;
  }
});
