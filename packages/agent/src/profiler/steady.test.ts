import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EMPTY_PROFILE, type GatewayProfile, gatewayProfileSchema, mergePatch } from '@leonore/protocol';
import * as fc from 'fast-check';
import { diffPatch, newsOf } from './steady.ts';

const GIB = 2 ** 30;
const TOLD: GatewayProfile = {
  ...EMPTY_PROFILE,
  os: 'linux',
  cpu: { cores: 4 },
  memory: { total: 4 * GIB, free: 2 * GIB },
  disk: { total: 30 * GIB, free: 10 * GIB },
  load: 1,
  temperature: 50,
  uptime: 1000,
  clock: { offset: 0, synchronised: true },
  installed: [],
  revision: 'a',
};
const idle = (change: Partial<GatewayProfile>) => newsOf(TOLD, { ...TOLD, uptime: 2000, ...change }, true);

void test('a figure is told when it has moved by a step, and not before it is time', () => {
  const moved: Partial<GatewayProfile>[] = [
    { memory: { total: 4 * GIB, free: 1.5 * GIB } },
    { disk: { total: 30 * GIB, free: 8.9 * GIB } },
    { load: 2 },
    { temperature: 55 },
    { clock: { offset: -12, synchronised: true } },
  ];
  for (const change of moved) {
    const found = { ...TOLD, uptime: 2000, ...change };
    assert.deepEqual(newsOf(TOLD, found, true), found);
    assert.equal(newsOf(TOLD, found, false), undefined, JSON.stringify(change));
  }
  const still: Partial<GatewayProfile>[] = [
    {},
    { memory: { total: 4 * GIB, free: 2.3 * GIB } },
    { disk: { total: 30 * GIB, free: 10.9 * GIB } },
    { load: 1.9 },
    { temperature: 46 },
    { clock: { offset: 9, synchronised: true } },
    { reportedAt: 5 },
    { revision: 'b' },
  ];
  for (const change of still) assert.equal(idle(change), undefined, JSON.stringify(change));
});

void test('on a full disk each 16 MiB would be a step, on a large one a tenth of what is free', () => {
  const of = (free: number): GatewayProfile => ({ ...TOLD, disk: { total: 30 * GIB, free } });
  assert.equal(newsOf(of(40 * 2 ** 20), of(25 * 2 ** 20), true), undefined);
  assert.ok(newsOf(of(40 * 2 ** 20), of(20 * 2 ** 20), true));
});

void test('figures creep without being told until they are a step away from what was told', () => {
  let told = TOLD;
  let messages = 0;
  for (let degrees = 50; degrees <= 70; degrees += 0.5) {
    const news = newsOf(told, { ...TOLD, temperature: degrees }, true);
    if (!news) continue;
    messages++;
    told = news;
  }
  assert.equal(messages, 4);
  assert.equal(told.temperature, 70);
});

void test('a fact is told at once, and takes along what has moved, but not what has not', () => {
  const found = { ...TOLD, uptime: 2000, load: 1.5, temperature: 60, hostname: 'gw' };
  assert.deepEqual(newsOf(TOLD, found, false), { ...found, load: 1 });
  assert.ok(newsOf(TOLD, { ...TOLD, clock: { offset: 0, synchronised: false } }, false));
  assert.ok(newsOf(TOLD, { ...TOLD, facts: { line: 7 } }, false));
  assert.ok(newsOf(TOLD, { ...TOLD, memory: { total: 8 * GIB, free: 2 * GIB } }, false));
});

void test('time goes on without a word; that the machine was started anew is a fact', () => {
  assert.equal(newsOf(TOLD, { ...TOLD, uptime: 900_000 }, true), undefined);
  assert.equal(newsOf(TOLD, { ...TOLD, uptime: 3 }, false)?.uptime, 3);
});

void test('figures that come and go are told when it is time', () => {
  const { temperature: _, clock: __, ...bare } = TOLD;
  assert.deepEqual(newsOf(TOLD, bare, true), bare);
  assert.equal(newsOf(bare, { ...bare, temperature: 40 }, false), undefined);
  assert.equal(newsOf(bare, { ...bare, temperature: 40 }, true)?.temperature, 40);
});

const figures = fc.record(
  {
    memory: fc.record({ total: fc.nat(), free: fc.nat() }, { requiredKeys: ['total'] }),
    disk: fc.record({ total: fc.nat(), free: fc.nat() }),
    load: fc.double({ min: 0, max: 100, noNaN: true }),
    temperature: fc.integer({ min: -50, max: 120 }),
    uptime: fc.nat(),
    clock: fc.record({ offset: fc.integer(), synchronised: fc.boolean() }, { requiredKeys: [] }),
    hostname: fc.constantFrom('a', 'b'),
  },
  { requiredKeys: [] },
);

void test('property: what is told can be sent as a patch, is a profile, and is the last word until something moves', () => {
  fc.assert(
    fc.property(figures, figures, fc.boolean(), (a, b, time) => {
      const [told, found] = [a, b].map((some) => gatewayProfileSchema.parse({ ...EMPTY_PROFILE, ...some })) as [
        GatewayProfile,
        GatewayProfile,
      ];
      const news = newsOf(told, found, time);
      if (!news) return;
      const arrived = mergePatch(told, JSON.parse(JSON.stringify(diffPatch(told, news))));
      assert.deepEqual(gatewayProfileSchema.parse(arrived), JSON.parse(JSON.stringify(news)));
      assert.equal(newsOf(news, found, time), undefined);
    }),
    { numRuns: 1000 },
  );
});

const json = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.string({ maxLength: 3 }),
    fc.integer(),
    fc.array(fc.integer(), { maxLength: 2 }),
    fc.dictionary(fc.constantFrom('a', 'b', 'constructor'), tie('value'), { maxKeys: 3, noNullPrototype: true }),
  ),
})).value;

void test('property: the patch turns what was sent into what is', () => {
  const record = fc.dictionary(fc.constantFrom('a', 'b', 'toString', 'd'), json);
  fc.assert(
    fc.property(record, record, (before, after) => {
      assert.deepEqual(mergePatch(before, diffPatch(before, after)), { ...after });
    }),
  );
});
