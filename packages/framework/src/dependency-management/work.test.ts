/** Work in pieces: that it is the same work, that its pieces are small, that the event loop gets its turns. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { updatingCatalogue } from './catalogue.ts';
import { randomRepository, request } from './generate.ts';
import { bringsIn, createCatalogue, dependentsOf, resolve, resolving } from './mod.ts';
import { createPacer, STEPS_PER_PIECE, type Work } from './work.ts';

/** The largest number of steps between two pauses, and how many pauses there were. */
function piecesOf(work: Work<unknown>): { largest: number; pauses: number } {
  let largest = 0;
  for (let pauses = 0; ; pauses++) {
    const piece = work.next();
    if (piece.done) return { largest, pauses };
    largest = Math.max(largest, piece.value);
  }
}

const shapes = [
  { seed: 1, components: 30, versions: 8, needs: 3, narrow: 0.3, conflicts: 0.1 },
  { seed: 2, components: 80, versions: 12, needs: 3, narrow: 0.5, conflicts: 0.1 },
  { seed: 1, components: 300, versions: 20, needs: 3, narrow: 0.3, conflicts: 0.1 },
];

describe('resolving pauses after small pieces, whatever it finds', () => {
  for (const shape of shapes) {
    test(`${shape.components} components of ${shape.versions} versions`, () => {
      const artifacts = randomRepository(shape);
      const asked = request(['c0', 'c1', 'c2']);
      const catalogue = createCatalogue(artifacts, 1);
      const { largest, pauses } = piecesOf(resolving(asked, catalogue, { stepLimit: 300_000 }));
      // A list of watching clauses is gone through to its end.
      assert.ok(largest <= 10 * STEPS_PER_PIECE, `${largest} steps without a pause`);
      assert.ok(pauses > shape.components);
      const made = piecesOf(updatingCatalogue(undefined, artifacts, 1));
      assert.ok(made.largest <= STEPS_PER_PIECE && made.pauses >= shape.components);
    });
  }
});

test('the graph is read in small pieces', () => {
  for (const shape of shapes) {
    const catalogue = createCatalogue(randomRepository(shape), 1);
    for (const work of [
      dependentsOf(catalogue, `c${shape.components - 1}`, { transitive: true }),
      bringsIn(catalogue, 'c0', '1.0.0'),
    ]) {
      const { largest, pauses } = piecesOf(work);
      // Whoever needs one thing is gone through at once.
      assert.ok(largest <= 4 * STEPS_PER_PIECE, `${largest} steps without a pause`);
      assert.ok(pauses >= shape.components);
    }
  }
});

/** A clock that goes on by a millisecond with each look, and turns that are counted. */
function fakeTime() {
  const time = { now: 0, turns: 0 };
  return {
    time,
    now: () => time.now++,
    yieldTurn: () => {
      time.turns++;
      return Promise.resolve();
    },
  };
}

test('the answer found in slices is the same, and gives way again and again', async () => {
  for (const shape of shapes.slice(0, 2)) {
    const catalogue = createCatalogue(randomRepository(shape), 1);
    const asked = request(['c0', 'c1', 'c2']);
    const { time, ...fake } = fakeTime();
    const resolution = await createPacer({ ...fake, sliceMs: 5 }).run(resolving(asked, catalogue));
    assert.deepEqual(resolution, resolve(asked, catalogue));
    const { pauses } = piecesOf(resolving(asked, catalogue));
    assert.ok(time.turns >= pauses / 6, `${time.turns} turns for ${pauses} pauses`);
  }
});

function* counting(pieces: number, seen: string[], name: string): Work<string> {
  for (let piece = 0; piece < pieces; piece++) {
    seen.push(name);
    yield 1;
  }
  return name;
}

test('a pacer works on everything by turns, one slice in each', async () => {
  const { time, ...fake } = fakeTime();
  const pacer = createPacer({ ...fake, sliceMs: 2 });
  const seen: string[] = [];
  const ended = await Promise.all([
    pacer.run(counting(6, seen, 'a')),
    pacer.run(counting(1, seen, 'b')),
    pacer.run(counting(6, seen, 'c')),
  ]);
  assert.deepEqual(ended, ['a', 'b', 'c']);
  // The first slice goes at once, so its work is in line again before the others came.
  assert.equal(seen.join(''), 'aaaabccaacccc');
  await new Promise(setImmediate);
  assert.equal(time.turns, 9);
  assert.equal(await pacer.run(counting(1, seen, 'd')), 'd', 'it begins again after it had nothing to do');
});

function* breaking(): Work<never> {
  yield 1;
  throw new Error('broken');
}

test('work that fails fails alone', async () => {
  const pacer = createPacer();
  const failing = pacer.run(breaking());
  const other = pacer.run(counting(3, [], 'a'));
  await assert.rejects(failing, /broken/);
  assert.equal(await other, 'a');
});
