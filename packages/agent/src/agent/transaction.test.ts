import assert from 'node:assert/strict';
import { appendFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { LeonoreError } from '@leonore/protocol';
import { feedback } from '../connectivity/mod.ts';
import { installedSet, manifest } from '../test-support/manifests.ts';
import { temporaryFolder } from '../test-support/temporary-folder.ts';
import { createJournal } from './journal.ts';
import { type Plan, planChange, planRollback, type Step, stepLabel } from './plan.ts';
import { recoverTransaction, runTransaction, type TransactionDeps } from './transaction.ts';

const UPDATE = manifest({ components: [{ name: 'svm', version: '2.0.0' }], keep: [{ name: 'app', after: ['svm'] }] });
const BEFORE = installedSet({ name: 'svm' }, { name: 'app', after: ['svm'] });
const TASK = { actionId: '5', sequence: 5, plan: makePlan() };
function makePlan(): Plan {
  const planned = planChange(BEFORE, UPDATE, 5);
  assert.ok(planned.outcome === 'plan');
  return planned.plan;
}

/** Records the steps; `fault` throws at the one with that label. */
function bench(file: string, fault?: { at: string; error: Error }) {
  const done: string[] = [];
  const remembered: string[] = [];
  const journal = createJournal(file);
  const deps: TransactionDeps = {
    journal,
    async perform(step: Step) {
      const label = stepLabel(step);
      if (label === fault?.at) throw fault.error;
      done.push(label);
    },
    announce: () => undefined,
    async remember({ actionId }) {
      remembered.push(actionId);
    },
    success: () => feedback('closed', 'success', { details: ['done'] }),
    now: () => 0,
  };
  return { deps, done, remembered, journal };
}
const labels = (steps: readonly Step[]): string[] => steps.map(stepLabel);

void test('everything goes well: steps, commit, clean-up, and no journal is left', async () => {
  await using root = await temporaryFolder();
  const { deps, done, remembered, journal } = bench(join(root.path, 'journal'));
  const result = await runTransaction(deps, TASK);
  assert.equal(result.outcome, 'committed');
  assert.deepEqual(done, labels([...TASK.plan.steps, ...TASK.plan.cleanUp]));
  assert.deepEqual(remembered, ['5']);
  assert.equal(await journal.read(), undefined);
});

void test('any failing step: all the way back, saying which step and what was said; nothing is remembered', async () => {
  for (const step of TASK.plan.steps) {
    await using root = await temporaryFolder();
    const at = stepLabel(step);
    const error = new LeonoreError('agent.script-failed', 'exit code 3', { details: { output: ['last words'] } });
    const { deps, done, remembered, journal } = bench(join(root.path, 'journal'), { at, error });
    const result = await runTransaction(deps, TASK);
    assert.ok(result.outcome === 'rolled-back');
    assert.deepEqual(result.why, [`could not ${at}: exit code 3`, 'last words']);
    const back = labels(planRollback(TASK.plan)).filter((label) => label !== at);
    assert.deepEqual(done.slice(-back.length), back);
    assert.deepEqual(remembered, []);
    assert.equal(await journal.read(), undefined);
  }
});

void test('a clean-up that fails takes nothing back', async () => {
  await using root = await temporaryFolder();
  const fault = { at: 'delete svm 1.0.0', error: new Error('busy') };
  const { deps, remembered } = bench(join(root.path, 'journal'), fault);
  const result = await runTransaction(deps, TASK);
  assert.ok(result.outcome === 'committed');
  assert.deepEqual(result.warnings, ['could not delete svm 1.0.0: busy']);
  assert.deepEqual(remembered, ['5']);
});

void test('a stop in the middle goes back and gives no reason for a failure, so that the task is tried again', async () => {
  await using root = await temporaryFolder();
  const stopping = new AbortController();
  const { deps } = bench(join(root.path, 'journal'));
  const result = await runTransaction(
    {
      ...deps,
      async perform(step, plan) {
        if (step.do === 'install') stopping.abort(new Error('stop'));
        await deps.perform(step, plan);
      },
    },
    TASK,
    stopping.signal,
  );
  assert.deepEqual(result, { outcome: 'rolled-back', why: [], faults: [] });
});

/** A crash: what happens after the given number of journal lines never happened. */
class Crash extends Error {}
function die(): never {
  throw new Crash();
}
async function crashAfter(file: string, lines: number, fault?: { at: string; error: Error }): Promise<void> {
  const { deps, journal } = bench(file, fault);
  let left = lines;
  const crashing: TransactionDeps = {
    ...deps,
    journal: {
      ...journal,
      async write(line) {
        if (left-- <= 0) die();
        await journal.write(line);
      },
      close: async () => die(),
    },
    perform: async (step, plan) => (left < 0 ? die() : deps.perform(step, plan)),
  };
  await runTransaction(crashing, TASK).catch(() => undefined);
}

void test('restart after each line of the journal: before the commit back, after it finished', async () => {
  const lines = TASK.plan.steps.length + 2;
  for (let count = 1; count <= lines; count++) {
    await using root = await temporaryFolder();
    const file = join(root.path, 'journal');
    await crashAfter(file, count);
    const { deps, done, remembered, journal } = bench(file);
    const open = await journal.read();
    assert.ok(open, `journal after ${count} lines`);
    const result = await recoverTransaction(deps, open);
    if (count < lines) {
      assert.deepEqual(result, { outcome: 'rolled-back', why: [], faults: [] }, `after ${count} lines`);
      assert.deepEqual(done, labels(planRollback(TASK.plan)));
      assert.deepEqual(remembered, []);
    } else {
      assert.equal(result.outcome, 'committed');
      assert.deepEqual(done, labels(TASK.plan.cleanUp));
      assert.deepEqual(remembered, ['5']);
    }
    assert.equal(await journal.read(), undefined);
  }
});

void test('restart in the middle of going back: goes back again and still knows why', async () => {
  await using root = await temporaryFolder();
  const file = join(root.path, 'journal');
  const fault = { at: 'check the health of svm 2.0.0', error: new Error('no pulse') };
  const checked = TASK.plan.steps.findIndex((step) => stepLabel(step) === fault.at);
  await crashAfter(file, checked + 3, fault);
  const { deps, journal } = bench(file);
  const open = await journal.read();
  assert.ok(open);
  const result = await recoverTransaction(deps, open);
  assert.deepEqual(result, { outcome: 'rolled-back', why: [`could not ${fault.at}: no pulse`], faults: [] });
});

void test('a torn or zeroed journal: whole lines count, the rest was never acted upon', async () => {
  await using root = await temporaryFolder();
  const file = join(root.path, 'journal');
  const { journal } = bench(file);
  await crashAfter(file, 3);
  const whole = await readFile(file, 'utf8');
  const lines = whole.trimEnd().split('\n');
  for (let cut = 0; cut <= whole.length; cut += 97) {
    await writeFile(file, whole.slice(0, cut));
    await appendFile(file, Buffer.alloc(16));
    const open = await journal.read();
    assert.equal(open !== undefined, cut >= (lines[0]?.length ?? 0), `cut at ${cut}`);
  }
});
