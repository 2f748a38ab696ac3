import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { pathToFileURL } from 'node:url';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { applyDelta } from '@leonore/app-package';
import type { Encoding, Sha256 } from '@leonore/protocol';
import { createDeltaMaker, type DeltaJob, type PackedTar } from './delta-maker.ts';

const before = randomBytes(300_000);
const after = Buffer.concat([before.subarray(0, 100_000), randomBytes(100), before.subarray(100_000)]);

function packed(encoding: Encoding, tar: Buffer): PackedTar {
  return {
    encoding,
    bytes: new Uint8Array(encoding === 'gzip' ? gzipSync(tar) : zstdCompressSync(tar)),
    contentSha256: createHash('sha256').update(tar).digest('hex') as Sha256,
  };
}

function job(more: Partial<DeltaJob> = {}): DeltaJob {
  return { from: packed('gzip', before), to: packed('zstd', after), maxPairBytes: 1_000_000, ...more };
}

/** A thread that does to the first message what the script says; it remembers nothing, so each new thread does it again. */
async function scripted(t: TestContext, onMessage: string): Promise<URL> {
  const dir = await mkdtemp(join(tmpdir(), 'leonore-delta-maker-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const file = join(dir, 'worker.mjs');
  await writeFile(
    file,
    `import { parentPort, threadId } from 'node:worker_threads';
     parentPort.on('message', ({ maxPairBytes }) => { ${onMessage} });`,
  );
  return pathToFileURL(file);
}

const ANSWER = `parentPort.postMessage({ kind: 'made', delta: new Uint8Array([threadId]), fromSize: 1, toSize: 1 })`;

describe('the thread that makes deltas', () => {
  it('makes one that leads from the old tar to the new one, from segments of either compression', async () => {
    await using maker = createDeltaMaker();
    const outcome = await maker.make(job());
    assert.ok(outcome.kind === 'made');
    assert.deepEqual([outcome.fromSize, outcome.toSize], [before.length, after.length]);
    assert.ok(outcome.delta.length < 1000);
    const source = (async function* () {
      yield* [outcome.delta];
    })();
    const made = await Array.fromAsync(applyDelta(source, before, { maxBytes: after.length }));
    assert.ok(Buffer.concat(made).equals(after));
  });

  it('says when the tars are too large, before it has unpacked them', async () => {
    await using maker = createDeltaMaker();
    for (const maxPairBytes of [1, before.length - 1, before.length, before.length + after.length - 1]) {
      assert.deepEqual(await maker.make(job({ maxPairBytes })), { kind: 'too-large' }, `${maxPairBytes}`);
    }
    const bomb = packed('zstd', Buffer.alloc(300_000_000));
    assert.deepEqual(await maker.make(job({ to: bomb })), { kind: 'too-large' });
    assert.equal((await maker.make(job({ maxPairBytes: before.length + after.length }))).kind, 'made');
  });

  it('refuses segments that are not what they should be, and goes on', async () => {
    await using maker = createDeltaMaker();
    const other = { ...packed('gzip', before), contentSha256: packed('gzip', after).contentSha256 };
    await assert.rejects(maker.make(job({ from: other })), /digest/);
    const garbage = { ...packed('zstd', before), bytes: new Uint8Array(randomBytes(1000)) };
    await assert.rejects(maker.make(job({ from: garbage })));
    assert.equal((await maker.make(job())).kind, 'made');
  });

  for (const [what, script] of [
    ['crashes', `throw new Error('out of order')`],
    ['ends', 'process.exit(1)'],
  ] as const) {
    it(`is replaced when it ${what}; those that wait behind are made`, { timeout: 60_000 }, async (t) => {
      const script_ = `if (maxPairBytes === 1) { ${script} } else ${ANSWER}`;
      await using maker = createDeltaMaker({ script: await scripted(t, script_) });
      const outcomes = await Promise.allSettled([1, 2, 1, 2].map((maxPairBytes) => maker.make(job({ maxPairBytes }))));
      assert.deepEqual(
        outcomes.map(({ status }) => status),
        ['rejected', 'fulfilled', 'rejected', 'fulfilled'],
      );
    });
  }

  it('is ended when it takes too long', { timeout: 60_000 }, async (t) => {
    const script = await scripted(t, `if (maxPairBytes === 1) for (;;); else ${ANSWER}`);
    await using maker = createDeltaMaker({ script, timeLimitMs: 1500 });
    await assert.rejects(maker.make(job({ maxPairBytes: 1 })), /more than 1500 ms/);
    assert.equal((await maker.make(job())).kind, 'made');
  });

  it('serves many, and ends when there was nothing to do for a while', { timeout: 60_000 }, async (t) => {
    const script = await scripted(t, ANSWER);
    await using maker = createDeltaMaker({ script, idleMs: 50 });
    const threadOf = async () => {
      const outcome = await maker.make(job());
      assert.ok(outcome.kind === 'made');
      return outcome.delta[0];
    };
    const first = await Promise.all([threadOf(), threadOf(), threadOf()]);
    assert.equal(new Set(first).size, 1);
    let next = await threadOf();
    for (let pause = 50; next === first[0]; pause *= 2) {
      await new Promise((resolve) => setTimeout(resolve, pause));
      next = await threadOf();
    }
  });

  it('at its end rejects what waits for it', { timeout: 20_000 }, async (t) => {
    const maker = createDeltaMaker({ script: await scripted(t, '') });
    const waiting = Promise.allSettled([maker.make(job()), maker.make(job())]);
    await new Promise((resolve) => setImmediate(resolve));
    await maker[Symbol.asyncDispose]();
    for (const { status } of await waiting) assert.equal(status, 'rejected');
    await assert.rejects(maker.make(job()), { code: 'server.stopping' });
  });
});
