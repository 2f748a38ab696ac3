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
import { recoverTransaction, resumeTransaction, runTransaction, type TransactionDeps } from './transaction.ts';

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
  const givenUp: (readonly string[])[] = [];
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
    async giveUp({ why }) {
      givenUp.push(why);
    },
    success: () => feedback('closed', 'success', { details: ['done'] }),
    now: () => 0,
  };
  return { deps, done, remembered, givenUp, journal };
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
    const { deps, done, remembered, givenUp, journal } = bench(join(root.path, 'journal'), { at, error });
    const result = await runTransaction(deps, TASK);
    assert.ok(result.outcome === 'rolled-back');
    assert.deepEqual(result.why, [`could not ${at}: exit code 3`, 'last words']);
    const back = labels(planRollback(TASK.plan, TASK.plan.steps.indexOf(step)));
    const possible = back.filter((label) => label !== at);
    assert.deepEqual(done.slice(-possible.length), possible);
    assert.deepEqual(remembered, []);
    assert.deepEqual(givenUp, [result.why]);
    // What could not be brought back is tried again by the next run.
    assert.equal((await journal.read()) !== undefined, back.includes(at), at);
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
      assert.deepEqual(done, labels(planRollback(TASK.plan, count - 2)));
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

void test('nothing but unpacking into place was begun: what runs is not even stopped', () => {
  const places = TASK.plan.steps.filter((step) => step.do === 'place').length;
  assert.ok(places > 0);
  assert.deepEqual(labels(planRollback(TASK.plan, places - 1)), ['delete svm 2.0.0']);
  assert.ok(labels(planRollback(TASK.plan, places)).includes('stop svm'));
});

void test('what is installed cannot be written down: behind the clean-up once more, and the journal stays until it can', async () => {
  for (const failures of [1, 2]) {
    await using root = await temporaryFolder();
    const { deps, done, journal } = bench(join(root.path, 'journal'));
    let left = failures;
    const remember = async (): Promise<void> => {
      if (left-- > 0) throw new Error('ENOSPC');
    };
    const result = await runTransaction({ ...deps, remember }, TASK);
    assert.ok(result.outcome === 'committed');
    assert.deepEqual(done, labels([...TASK.plan.steps, ...TASK.plan.cleanUp]));
    const open = await journal.read();
    assert.equal(open !== undefined, failures === 2);
    if (!open) continue;
    assert.deepEqual(result.warnings, ['could not write down what is installed: ENOSPC']);
    assert.equal((await recoverTransaction({ ...deps, remember }, open)).outcome, 'committed');
    assert.equal(await journal.read(), undefined);
  }
});

void test('a committed line that does not get to the disk is not believed later', async () => {
  await using root = await temporaryFolder();
  const file = join(root.path, 'journal');
  const { deps, journal } = bench(file);
  const faulty: TransactionDeps = {
    ...deps,
    journal: {
      ...journal,
      async write(line) {
        if (line.at === 'rollback') throw new Error('EIO');
        if (line.at !== 'committed') return journal.write(line);
        await appendFile(file, '{"at":"commi');
        throw new Error('EIO');
      },
      close: async () => die(),
    },
  };
  await runTransaction(faulty, TASK);
  const open = await journal.read();
  assert.ok(open);
  assert.equal(open.committed, undefined);
});

void test('five runs came to no end on the way back: without scripts and processes, told, and over', async () => {
  await using root = await temporaryFolder();
  const file = join(root.path, 'journal');
  await crashAfter(file, TASK.plan.steps.length);
  for (let run = 1; run <= 6; run++) {
    const { deps, done, givenUp, journal } = bench(file);
    const open = await journal.read();
    assert.ok(open);
    const perform = async (step: Step, plan: Plan): Promise<void> =>
      step.do === 'stop' ? die() : deps.perform(step, plan);
    if (run <= 5) {
      const dying = { ...deps, perform: () => new Promise<never>(() => undefined) };
      void recoverTransaction(dying, open);
      while ((await journal.read())?.recoveries !== run || !(await journal.read())?.rollback) continue;
    } else {
      const result = await recoverTransaction({ ...deps, perform }, open);
      assert.ok(result.outcome === 'rolled-back');
      assert.deepEqual(result.why, ['the agent was stopped 5 times while it went back from this']);
      assert.deepEqual(givenUp, [result.why]);
      assert.ok(done.length > 0 && done.every((label) => /^(activate|deactivate|delete)/.test(label)), done.join());
      assert.equal(await journal.read(), undefined);
    }
  }
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

function agentUpdate() {
  const before = installedSet({ name: 'leonore-agent', still: true });
  const wanted = manifest({ components: [{ name: 'leonore-agent', version: '2.0.0', still: true }] });
  const planned = planChange(before, wanted, 6);
  assert.ok(planned.outcome === 'plan');
  const { plan } = planned;
  const at = plan.steps.findIndex((step) => step.do === 'hand-over');
  return { task: { actionId: '6', sequence: 6, plan }, plan, behind: [...plan.steps.slice(at + 1), ...plan.cleanUp] };
}

void test('handed over: the journal stays open; the other agent goes on behind it, as often as it must', async () => {
  await using root = await temporaryFolder();
  const file = join(root.path, 'journal');
  const { task, behind } = agentUpdate();
  const old = bench(file);
  assert.deepEqual(await runTransaction(old.deps, task), { outcome: 'handed-over' });
  assert.equal(old.done.at(-1), 'hand over to leonore-agent 2.0.0');
  assert.deepEqual(old.remembered, []);

  const cut = bench(file, { at: 'activate leonore-agent 2.0.0', error: new Error('disk is full') });
  const handed = await cut.journal.read();
  assert.ok(handed);
  await assert.rejects(resumeTransaction(cut.deps, handed), /disk is full/);
  assert.deepEqual(cut.givenUp, [], 'going back is for the agent before it');

  const next = bench(file);
  const open = await next.journal.read();
  assert.ok(open);
  assert.equal((await resumeTransaction(next.deps, open)).outcome, 'committed');
  assert.deepEqual(next.done, labels(behind));
  assert.deepEqual(next.remembered, ['6']);
  assert.equal(await next.journal.read(), undefined);
});

void test('handed over to an agent that was not heard: the one before goes back, for whatever reason it is given', async () => {
  await using root = await temporaryFolder();
  const file = join(root.path, 'journal');
  const { task, plan } = agentUpdate();
  await runTransaction(bench(file).deps, task);
  const back = bench(file);
  const open = await back.journal.read();
  assert.ok(open);
  const result = await recoverTransaction(back.deps, { ...open, rollback: ['it hangs', 'its last words'] });
  assert.deepEqual(result, { outcome: 'rolled-back', why: ['it hangs', 'its last words'], faults: [] });
  assert.deepEqual(back.done, labels(planRollback(plan, open.reached)));
  assert.deepEqual(back.givenUp, [['it hangs', 'its last words']]);
});
