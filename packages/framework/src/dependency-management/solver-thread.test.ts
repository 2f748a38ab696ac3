/** The solver's thread: that it answers as this thread would, is told what changed only, and that its death is survived. */
import { isLeonoreError, type Artifact } from '@leonore/protocol';
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { describe, test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { updatingCatalogue, type Catalogue } from './catalogue.ts';
import { artifact, randomRepository, request } from './generate.ts';
import { createCatalogue, createSlicingSolver, createSolverThread, type ResolveRequest } from './mod.ts';
import type { ToSolver } from './solver-thread.ts';
import { atOnce } from './work.ts';

const shape = { components: 12, versions: 6, needs: 2, narrow: 0.5, conflicts: 0.2 };
const here = createSlicingSolver();
const update = (before: Catalogue, artifacts: readonly Artifact[]): Catalogue =>
  atOnce(updatingCatalogue(before, structuredClone(artifacts) as Artifact[], before.revision + 1));

/** Notes what threads are told. */
function listening(t: TestContext): { said: () => readonly ToSolver[] } {
  const post = t.mock.method(Worker.prototype, 'postMessage');
  return { said: () => post.mock.calls.map(({ arguments: [message] }) => message as ToSolver) };
}

describe('the solver in its thread', { timeout: 120_000 }, () => {
  test('finds the same, and looks at the same, for several tenants whose catalogues change', async () => {
    await using solver = createSolverThread();
    const outcomes = new Set<string>();
    const catalogues = new Map<string, Catalogue>();
    for (let round = 0; round < 60; round++) {
      const tenant = `tenant-${round % 3}`;
      const artifacts = randomRepository({ ...shape, seed: round });
      const withdrawn = artifacts.map((one, at) => (at % 7 === round % 7 ? { ...one, withdrawnAt: 1 } : one));
      const some = withdrawn.filter((_, at) => at % 5 !== round % 5);
      const before = catalogues.get(tenant);
      const catalogue = before ? update(before, some) : createCatalogue(some, 1);
      catalogues.set(tenant, catalogue);
      const asked = request([`c${round % 4}`, 'c4', ...(round % 9 === 0 ? ['c55'] : [])], {
        resources: { memory: 100, disk: 50 },
      });
      const [there, expected] = await Promise.all([
        solver.solve(tenant, asked, catalogue),
        here.solve(tenant, asked, catalogue),
      ]);
      assert.deepEqual(there, expected);
      outcomes.add(there.resolution.outcome);
    }
    assert.deepEqual([...outcomes].toSorted(), ['plan', 'unsatisfiable']);
  });

  test('is told of lists that changed, of no others, and in pieces', async (t) => {
    const { said } = listening(t);
    await using solver = createSolverThread();
    const artifacts = randomRepository({ ...shape, seed: 1, components: 40 });
    const first = createCatalogue(artifacts, 1);
    const asked = request('c30');
    await solver.solve('a', asked, first);
    const pieces = said().flatMap((message) => (message.kind === 'add' ? [message.builds.length] : []));
    assert.equal(
      pieces.reduce((sum, count) => sum + count, 0),
      artifacts.length,
    );
    assert.ok(Math.max(...pieces) < 100);
    const second = update(first, [...artifacts, artifact('c39 9.0.0'), artifact('other 1.0.0')]);
    const told = said().length;
    await solver.solve('a', asked, second);
    await solver.solve('a', asked, second);
    const later = said().slice(told);
    assert.deepEqual(
      later.map((message) => (message.kind === 'forget' ? message.names : message.kind)),
      [['c39', 'other'], 'add', 'solve', 'solve'],
    );
    const added = later.flatMap((message) => (message.kind === 'add' ? message.builds : []));
    assert.equal(added.length, shape.versions + 2);
    // Who asks with an older catalogue gets its answer, and so does the next.
    for (const catalogue of [first, second]) {
      assert.deepEqual(await solver.solve('a', asked, catalogue), await here.solve('a', asked, catalogue));
    }
  });

  test('forgets what is no longer there', async () => {
    await using solver = createSolverThread();
    const before = createCatalogue([artifact('a 1.0.0'), artifact('b 1.0.0')], 1);
    assert.equal((await solver.solve('t', request('b'), before)).resolution.outcome, 'plan');
    const after = update(before, [artifact('a 1.0.0')]);
    assert.equal((await solver.solve('t', request('b'), after)).resolution.outcome, 'unsatisfiable');
  });

  const broken = (error: unknown) => isLeonoreError(error, 'server.internal') && error.retryable;

  test('a question it breaks over is answered with an error, those that wait behind it by another thread', async () => {
    await using solver = createSolverThread();
    const catalogue = createCatalogue([artifact('a 1.0.0')], 1);
    const malformed = { ...request('a'), applications: undefined } as unknown as ResolveRequest;
    const uncopied = { ...request('a'), capabilities: (() => ({})) as never };
    const [bad, good, unsent, last] = await Promise.allSettled([
      solver.solve('t', malformed, catalogue),
      solver.solve('t', request('a'), catalogue),
      solver.solve('t', uncopied, catalogue),
      solver.solve('t', request('a'), catalogue),
    ]);
    for (const one of [bad, unsent]) assert.ok(one.status === 'rejected' && broken(one.reason));
    for (const one of [good, last]) assert.ok(one.status === 'fulfilled' && one.value.resolution.outcome === 'plan');
  });

  test('a repository that needs more memory than it may have ends the thread, not the node', async () => {
    await using solver = createSolverThread({ maxMemoryMib: 16 });
    const monstrous = createCatalogue(
      randomRepository({ ...shape, seed: 1, components: 1500, versions: 20, needs: 6 }),
      1,
    );
    const small = createCatalogue([artifact('a 1.0.0')], 1);
    await assert.rejects(solver.solve('large', request('c0'), monstrous), broken);
    assert.equal((await solver.solve('small', request('a'), small)).resolution.outcome, 'plan');
  });

  test('at its end what waits is told so, and so is who comes later', async () => {
    const solver = createSolverThread();
    const catalogue = createCatalogue(randomRepository({ ...shape, seed: 1, components: 200, versions: 20 }), 1);
    const stopping = (error: unknown) => isLeonoreError(error, 'server.stopping');
    const waiting = ['c0', 'c1'].map((name) => assert.rejects(solver.solve('t', request(name), catalogue), stopping));
    await solver[Symbol.asyncDispose]();
    await Promise.all(waiting);
    await assert.rejects(solver.solve('t', request('c0'), catalogue), stopping);
    await createSolverThread()[Symbol.asyncDispose]();
  });

  test('keeps the process for an answer, and no longer', async () => {
    const script = `
      import { artifact, request } from '${import.meta.resolve('./generate.ts')}';
      import { createCatalogue, createSolverThread } from '${import.meta.resolve('./mod.ts')}';
      const { resolution } = await createSolverThread().solve('t', request('a'), createCatalogue([artifact('a 1.0.0')], 1));
      console.log(resolution.outcome);`;
    const run = promisify(execFile)(process.execPath, ['--input-type=module', '--eval', script], { timeout: 60_000 });
    assert.equal((await run).stdout, 'plan\n');
  });
});
