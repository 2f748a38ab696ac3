import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type InstalledComponent, LeonoreError, taskOutcomeSchema } from '@leonore/protocol';
import fc from 'fast-check';
import { createTaskRecord, recoveredOutcome } from './task-record.ts';

const FACTS = { attempts: 1, size: 1000, running: [] };

void test('steps follow each other; the one that failed is the last, with what it printed', () => {
  let now = 50;
  const record = createTaskRecord(() => now);
  record.step({ kind: 'download', label: 'download the package' });
  now += 2000;
  Object.assign(record.air, { bytes: 400, interruptions: 2 });
  record.step({ kind: 'check', label: 'check a 1.0.0', component: { name: 'a', version: '1.0.0' } });
  now += 30_000;
  const details = { output: ['one', 'two'], exitCode: 3 };
  record.fail(new LeonoreError('agent.unhealthy', 'it was not healthy', { details }));
  record.fail(new Error('what follows from it'));
  assert.deepEqual(
    record.outcome({
      ...FACTS,
      back: [],
      running: [{ name: 'a', version: '0.9.0', state: 'running' } as InstalledComponent],
    }),
    {
      failure: {
        kind: 'check',
        label: 'check a 1.0.0',
        why: 'it was not healthy',
        code: 'agent.unhealthy',
        exitCode: 3,
        durationMs: 30_000,
        output: ['one', 'two'],
        component: { name: 'a', version: '1.0.0' },
      },
      attempts: 1,
      download: { bytes: 400, interruptions: 2, of: 1000, durationMs: 2000 },
      steps: [
        { kind: 'download', label: 'download the package', afterMs: 0, durationMs: 2000 },
        { kind: 'check', label: 'check a 1.0.0', afterMs: 2000, durationMs: 30_000 },
      ],
      rolledBack: { faults: [] },
      running: [{ name: 'a', version: '0.9.0', state: 'running' }],
    },
  );
});

void test('what fails may be another step than the one that was noted: a download that is not the package', () => {
  const record = createTaskRecord(() => 0);
  record.step({ kind: 'download', label: 'download the package' });
  record.fail(new Error('another digest'), { kind: 'verify', label: 'verify the package' });
  const { failure, steps, download } = record.outcome(FACTS);
  assert.deepEqual([failure?.kind, steps.map(({ kind }) => kind)], ['verify', ['download', 'verify']]);
  assert.ok(download);
});

void test('of a former run the journal tells where it was and why it went back', () => {
  const steps = [{ kind: 'start', label: 'start a 1.0.0', afterMs: 10, durationMs: 5 }];
  const { failure, ...rest } = recoveredOutcome(steps, ['could not start', 'its words'], {
    ...FACTS,
    back: ['a fault'],
  });
  assert.deepEqual(
    [failure?.label, failure?.why, failure?.output],
    ['start a 1.0.0', 'could not start', ['its words']],
  );
  assert.deepEqual([rest.steps, rest.rolledBack, rest.download], [steps, { faults: ['a fault'] }, undefined]);
});

void test('whatever is noted, what comes out is within the bounds of the protocol', () => {
  const text = fc.string({ maxLength: 3000 });
  const noted = fc.array(fc.record({ kind: fc.constantFrom('start', 'download'), label: text }), { maxLength: 300 });
  const details = fc.record({ output: fc.array(text, { maxLength: 40 }), exitCode: fc.double(), signal: text });
  fc.assert(
    fc.property(noted, text, details, fc.array(text, { maxLength: 40 }), (names, why, said, back) => {
      let now = 0;
      const record = createTaskRecord(() => (now += 0.7));
      for (const name of names) record.step(name);
      record.fail(new LeonoreError('agent.script-failed', why, { details: said }));
      const outcome = record.outcome({ ...FACTS, back, interrupted: back.map((one) => one.slice(0, 100)) });
      assert.deepEqual(taskOutcomeSchema.parse(outcome), outcome);
      assert.equal(outcome.failure === undefined, names.length === 0);
      taskOutcomeSchema.parse(recoveredOutcome(outcome.steps, [why, ...back], { ...FACTS, back }));
    }),
    { numRuns: 50 },
  );
});
