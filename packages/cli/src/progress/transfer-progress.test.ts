import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { transferSentence } from './transfer-progress.ts';

describe('transferSentence', () => {
  it('says how far, how fast and how long', () => {
    const transfer = { bytes: 3 * 2 ** 20, size: 12 * 2 ** 20, moved: 2 * 2 ** 20, elapsedMs: 2000 };
    assert.equal(
      transferSentence('uploading jvm', transfer),
      'uploading jvm: 3.0 MiB of 12.0 MiB, 25 %, 1.0 MiB/s, about 9.0 s left',
    );
  });

  it('says nothing that it does not know yet, and no time left at the end', () => {
    assert.equal(transferSentence('x', { bytes: 0, size: 10, moved: 0, elapsedMs: 0 }), 'x: 0 B of 10 B, 0 %');
    assert.equal(
      transferSentence('x', { bytes: 10, size: 10, moved: 10, elapsedMs: 1000 }),
      'x: 10 B of 10 B, 100 %, 10 B/s',
    );
  });
});
