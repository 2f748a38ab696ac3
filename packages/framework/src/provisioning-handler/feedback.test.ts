import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type DdiFeedback, ddiFeedbackSchema } from '@leonore/protocol';
import { factsOf } from './feedback.ts';

const OUTCOME = { attempts: 1, steps: [], running: [] };
const report = (extra: object = {}, progress?: object): DdiFeedback =>
  ddiFeedbackSchema.parse({
    status: { execution: 'closed', result: { finished: 'failure', ...(progress ? { progress } : {}) } },
    ...extra,
  });

void test('the outcome is kept with the end, and with the end only', () => {
  assert.deepEqual(factsOf(report({ outcome: OUTCOME }), 'failed'), { outcome: OUTCOME });
  assert.equal(factsOf(report({ outcome: OUTCOME }), 'installing'), undefined);
});

void test('progress is kept when it is whole', () => {
  assert.deepEqual(factsOf(report({}, { cnt: 2, of: 5 }), 'installing'), { progress: { count: 2, of: 5 } });
  assert.equal(factsOf(report({}, { cnt: 2 }), 'installing'), undefined);
  assert.equal(factsOf(report({}, { cnt: -1, of: 5 }), 'installing'), undefined);
});

void test('clients of other makers send neither, or something else by that name: their report counts all the same', () => {
  assert.equal(factsOf(report(), 'failed'), undefined);
  for (const outcome of [
    'all well',
    7,
    null,
    {},
    { ...OUTCOME, running: [{}] },
    { ...OUTCOME, steps: Array.from({ length: 101 }, () => ({})) },
  ]) {
    assert.equal(factsOf(report({ outcome }), 'failed'), undefined);
  }
});
