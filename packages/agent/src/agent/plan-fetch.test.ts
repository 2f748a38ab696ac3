import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ArtifactName, DeltaOffer, Sha256 } from '@leonore/protocol';
import fc from 'fast-check';
import { manifest } from '../test-support/manifests.ts';
import { deltaMemory, type FetchChoices, headerFirst, planFetch } from './plan-fetch.ts';

const sha = (text: string): Sha256 => Buffer.from(text).toString('hex').padEnd(64, '0').slice(0, 64) as Sha256;

/** One component whose segment has 1000 bytes, and what it takes to have its content. */
function one(choices: Partial<FetchChoices> = {}) {
  const made = manifest({ components: [{ name: 'svm' }] });
  const [component] = made.components;
  assert.ok(component);
  const segment = { ...component.segment, length: 1000 };
  const whole = { ...made, components: [{ ...component, segment, contentSha256: sha('new') }] };
  const plan = planFetch(whole, { installed: [], held: new Map(), offers: [], memoryBytes: 1e9, ...choices });
  return { fetch: plan[0], segment: segment.sha256 };
}
const OLD = { contentSha256: sha('old'), size: 5000 };
const offer = (more: Partial<DeltaOffer> = {}): DeltaOffer => ({
  kind: 'zstd',
  name: 'svm' as ArtifactName,
  from: OLD.contentSha256,
  sha256: sha('delta'),
  size: 100,
  fromSize: OLD.size,
  toSize: 6000,
  href: '/delta',
  ...more,
});

void test('what is held or installed costs nothing; a delta is taken where it costs less than what is missing', () => {
  const { segment } = one();
  assert.equal(one().fetch?.way, 'full');
  assert.equal(one({ held: new Map([[segment, 1000]]), offers: [offer()], installed: [OLD] }).fetch?.way, 'held');
  const same = { contentSha256: sha('new'), size: 1 };
  assert.equal(one({ offers: [offer()], installed: [OLD, same] }).fetch?.way, 'installed');
  assert.equal(one({ offers: [offer()], installed: [OLD] }).fetch?.way, 'delta');
  assert.equal(one({ offers: [offer()] }).fetch?.way, 'full', 'nothing to start from');
  assert.equal(one({ offers: [offer({ size: 1000 })], installed: [OLD] }).fetch?.way, 'full', 'not smaller');
  const mostlyHere = new Map([[segment, 950]]);
  assert.equal(one({ offers: [offer()], installed: [OLD], held: mostlyHere }).fetch?.way, 'full', 'the rest is less');
  const half = new Map([...mostlyHere, [sha('delta'), 60]]);
  assert.equal(one({ offers: [offer()], installed: [OLD], held: half }).fetch?.way, 'delta', 'its rest is less');
});

void test('the smallest of several deltas; none that does not fit into memory', () => {
  const older = { contentSha256: sha('older'), size: 10 };
  const offers = [
    offer({ size: 300 }),
    offer({ from: older.contentSha256, fromSize: 10, size: 200 }),
    offer({ size: 400 }),
  ];
  const { fetch } = one({ offers, installed: [OLD, older] });
  assert.equal(fetch?.way === 'delta' && fetch.offer.size, 200);
  assert.equal(one({ offers: [offer()], installed: [OLD], memoryBytes: 11_000 }).fetch?.way, 'delta');
  assert.equal(one({ offers: [offer()], installed: [OLD], memoryBytes: 10_999 }).fetch?.way, 'full');
  assert.equal(deltaMemory({ total: 400, available: 1000 }), 100);
  assert.equal(deltaMemory({ total: 4000, available: 300 }), 150);
});

void test('property: never more bytes than the segment lacks, and nothing from what is not there', () => {
  const amount = fc.integer({ min: 1, max: 2000 });
  const anyOffer = fc
    .record({ from: fc.constantFrom('old', 'older', 'none'), size: amount, fromSize: amount, toSize: amount })
    .map(({ from, ...rest }) => offer({ ...rest, from: sha(from), sha256: sha(`d${rest.size}`) }));
  const bases = fc
    .subarray(['old', 'older', 'new'])
    .chain((names) => fc.tuple(...names.map((name) => amount.map((size) => ({ contentSha256: sha(name), size })))));
  fc.assert(
    fc.property(
      fc.array(anyOffer),
      bases,
      fc.integer({ min: 0, max: 1000 }),
      amount,
      (offers, installed, have, memoryBytes) => {
        const { fetch, segment } = one({ offers, installed, held: new Map([[one().segment, have]]), memoryBytes });
        assert.ok(fetch && segment);
        if (fetch.way === 'held') assert.equal(have, 1000);
        if ('base' in fetch) assert.ok(installed.includes(fetch.base));
        if (fetch.way === 'installed') assert.equal(fetch.base.contentSha256, fetch.component.contentSha256);
        if (fetch.way === 'delta') {
          assert.ok(fetch.offer.size < 1000 - have);
          assert.equal(fetch.offer.from, fetch.base.contentSha256);
          assert.ok(fetch.base.size + fetch.offer.toSize <= memoryBytes);
        }
      },
    ),
  );
});

void test('the header is asked for by itself where something of the rest may be here, and the rest is worth it', () => {
  const task = { size: 1_000_000, headerSize: 1000, deltas: [] };
  const nothing = { installed: 0, holdsParts: false };
  assert.equal(headerFirst(task, nothing), false);
  assert.equal(headerFirst(task, { ...nothing, installed: 1 }), true);
  assert.equal(headerFirst(task, { ...nothing, holdsParts: true }), true);
  assert.equal(headerFirst({ ...task, deltas: [offer()] }, nothing), true);
  assert.equal(headerFirst({ ...task, size: 10_000 }, { installed: 1, holdsParts: true }), false);
});
