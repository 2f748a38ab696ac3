import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { NO_TASKS, type Rollout, rolloutSchema, type TaskCounts } from '@leonore/protocol';
import * as fc from 'fast-check';
import { createPaint } from '../output/paint.ts';
import { widthOf } from '../output/table.ts';
import {
  createPaceMeter,
  describeCounts,
  endedCount,
  progressLines,
  progressSentence,
  renderBar,
  wholeCount,
} from './fleet-progress.ts';

const plain = createPaint(false);
const counts = (some: Partial<TaskCounts>): TaskCounts => ({ ...NO_TASKS, ...some });

function rollout(some: Partial<TaskCounts>, extra: Partial<Rollout> = {}): Rollout {
  const base = rolloutSchema.parse({
    id: 3,
    applications: [{ name: 'svm', range: '*' }],
    remove: [],
    selector: '*',
    strategy: 'auto',
    deadlines: {},
    upgrade: false,
    state: 'running',
    planned: true,
    counts: counts(some),
    createdAt: 0,
  });
  return { ...base, ...extra };
}

const half = { total: 23, succeeded: 12, failed: 2, downloading: 3, pending: 6 };

describe('progress of a rollout', () => {
  it('as two lines', () => {
    const view = { rollout: rollout(half), pace: { perSecond: 3.21, leftMs: 2800 }, elapsedMs: 4400 };
    assert.deepEqual(progressLines(view, 80, plain), [
      'rollout 3 [████████████××▒▒▒······]  60 %  14/23  3.2/s  about 2.8 s left',
      '  12 succeeded, 2 failed, 3 downloading, 6 waiting',
    ]);
  });

  it('as a sentence', () => {
    const view = { rollout: rollout(half), pace: { perSecond: 0.5, leftMs: 18_000 }, elapsedMs: 65_000 };
    assert.equal(
      progressSentence(view),
      'rollout 3: 14 of 23 done; 12 succeeded, 2 failed, 3 downloading, 6 waiting; 30.0/min; about 18 s left; 1 min 05 s gone',
    );
  });

  it('says when it is paused, still being planned, or the node is away', () => {
    const view = {
      rollout: rollout({ total: 5, pending: 5 }, { state: 'paused', planned: false }),
      pace: { perSecond: undefined, leftMs: undefined },
      elapsedMs: 1000,
      lost: 'nothing listens there',
    };
    assert.equal(
      progressSentence(view),
      'rollout 3 (paused): 0 of 5 so far done; 5 waiting; 1.0 s gone; no answer from the node: nothing listens there',
    );
    assert.equal(progressLines(view, 60, plain)[1], '  no answer from the node, trying again: nothing listens there');
  });

  it('has no nonsense before there is a gateway', () => {
    const view = { rollout: rollout({}), pace: { perSecond: undefined, leftMs: undefined }, elapsedMs: 0 };
    assert.deepEqual(progressLines(view, 50, plain), ['rollout 3 [········]   0 %  0/0  0.0 s', '  no gateway yet']);
  });

  it('keeps 100 % for the end, and counts gateways without a plan', () => {
    const almost = {
      rollout: rollout({ total: 1000, succeeded: 999, pending: 1 }),
      pace: { perSecond: undefined, leftMs: undefined },
      elapsedMs: 0,
    };
    assert.match(progressLines(almost, 80, plain)[0] ?? '', / 99 % {2}999\/1000/);
    const blocked = counts({ total: 1, succeeded: 1, blocked: 2 });
    assert.deepEqual([endedCount(blocked), wholeCount(blocked)], [3, 3]);
    assert.equal(describeCounts(blocked), '1 succeeded, 2 without a plan');
  });

  it('the bar is as wide as asked, whatever the counts, and full when all have succeeded', () => {
    const count = fc.nat({ max: 100_000 });
    fc.assert(
      fc.property(fc.tuple(count, count, count, count), fc.integer({ min: 1, max: 60 }), ([a, b, c, d], width) => {
        const some = counts({ total: a + b + c + d, succeeded: a, failed: b, installing: c, pending: d });
        const bar = renderBar(some, width, plain);
        assert.equal(widthOf(bar), width + 2);
        assert.equal(bar.includes('·') || d === 0 || c + a + b > 0, true);
        if (a > 0 && b + c + d === 0) assert.equal(bar, `[${'█'.repeat(width)}]`);
        if (a < some.total) assert.notEqual(bar, `[${'█'.repeat(width)}]`);
      }),
    );
  });

  it('colours change no width', () => {
    assert.equal(widthOf(renderBar(counts(half), 30, createPaint(true))), 32);
  });
});

describe('createPaceMeter', () => {
  it('knows no pace from one look or from standing still', () => {
    const meter = createPaceMeter();
    assert.equal(meter.observe(0, counts({ total: 10 })).perSecond, undefined);
    assert.equal(meter.observe(5000, counts({ total: 10 })).perSecond, undefined);
  });

  it('gives the pace and the time left', () => {
    const meter = createPaceMeter();
    meter.observe(0, counts({ total: 100 }));
    assert.deepEqual(meter.observe(10_000, counts({ total: 100, succeeded: 20 })), { perSecond: 2, leftMs: 40_000 });
  });

  it('forgets what was long ago', () => {
    const meter = createPaceMeter(10_000);
    for (let at = 0; at <= 60_000; at += 1000)
      meter.observe(at, counts({ total: 1000, succeeded: Math.min(500, at / 100) }));
    const slow = meter.observe(71_000, counts({ total: 1000, succeeded: 505 }));
    assert.ok(slow.perSecond !== undefined && slow.perSecond < 1, String(slow.perSecond));
  });
});
