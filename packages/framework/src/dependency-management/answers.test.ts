/** What a publication changes and what it leaves alone. Solves are counted, not timed. */
import type { Artifact } from '@leonore/protocol';
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { createAnswers } from './answers.ts';
import { updatingCatalogue, type Catalogue } from './catalogue.ts';
import { artifact, installed, randomRepository, request } from './generate.ts';
import { createCatalogue, resolve, type ResolveRequest } from './mod.ts';
import { sightingsIn } from './sightings.ts';
import { solving } from './solver.ts';
import { atOnce } from './work.ts';

const needs = (artifacts: Record<string, string>) => ({ requires: { artifacts } });
/** As if read from the database again: equal, but not the same objects. */
const update = (before: Catalogue, artifacts: readonly Artifact[]): Catalogue =>
  atOnce(updatingCatalogue(before, structuredClone(artifacts) as Artifact[], before.revision + 1));

const published = [
  artifact('monitor 1.0.0', {
    requires: { artifacts: { svm: '*' }, capabilities: { java: '*' }, optional: { ui: '*' } },
  }),
  artifact('svm 1.0.0'),
  artifact('jvm 17.0.0', { provides: { java: '17' } }),
  artifact('other 1.0.0', needs({ another: '*' })),
  artifact('another 1.0.0'),
];

function counted() {
  const solved: string[] = [];
  const answers = createAnswers({ keep: 100, onSolve: (key) => solved.push(key) });
  return { solved, answers };
}

interface Row {
  readonly it: string;
  readonly change: (artifacts: readonly Artifact[]) => readonly Artifact[];
  readonly solves: number;
  readonly asked?: ResolveRequest;
}

const rows: Row[] = [
  { it: 'nothing but the revision', change: (all) => all, solves: 0 },
  {
    it: 'an artifact nobody asks for',
    change: (all) => [...all, artifact('new 1.0.0', needs({ svm: '*' }))],
    solves: 0,
  },
  { it: 'a version of one that is not reached', change: (all) => [...all, artifact('other 2.0.0')], solves: 0 },
  {
    it: 'one that provides another capability',
    change: (all) => [...all, artifact('py 3.0.0', { provides: { python: '3' } })],
    solves: 0,
  },
  { it: 'a version of the application', change: (all) => [...all, artifact('monitor 2.0.0')], solves: 1 },
  { it: 'a version of what it needs', change: (all) => [...all, artifact('svm 2.0.0')], solves: 1 },
  {
    it: 'another build of what it needs',
    change: (all) => [...all, artifact('svm 1.0.0', { platform: { os: 'linux' } })],
    solves: 1,
  },
  {
    it: 'another provider of the capability',
    change: (all) => [...all, artifact('jre 1.0.0', { provides: { java: '21' } })],
    solves: 1,
  },
  { it: 'the first version of what is optional', change: (all) => [...all, artifact('ui 1.0.0')], solves: 1 },
  {
    it: 'what it needs is withdrawn',
    change: (all) => all.map((one) => (one.manifest.name === 'svm' ? { ...one, withdrawnAt: 5 } : one)),
    solves: 1,
  },
  {
    it: 'what others need is withdrawn',
    change: (all) => all.map((one) => (one.manifest.name === 'another' ? { ...one, withdrawnAt: 5 } : one)),
    solves: 0,
  },
  {
    it: 'what was asked for in vain, a slip of the pen: any new name may be meant',
    change: (all) => [...all, artifact('monitors 1.0.0')],
    asked: request('monitr'),
    solves: 1,
  },
  {
    it: 'a version of what is installed and goes',
    change: (all) => [...all, artifact('another 2.0.0')],
    asked: request('svm', { installed: installed('another 1.0.0') }),
    solves: 1,
  },
];

describe('an answer is searched for again only when there is something new in what it looked at', () => {
  for (const { it, change, solves, asked = request('monitor') } of rows) {
    test(`${solves === 0 ? 'not ' : ''}for ${it}`, async () => {
      const { solved, answers } = counted();
      const before = createCatalogue(published, 1);
      const first = await answers.find('tenant', 'class', asked, before);
      assert.equal(solved.length, 1);
      const after = update(before, change(published));
      const second = await answers.find('tenant', 'class', asked, after);
      assert.equal(solved.length - 1, solves);
      assert.equal(second === first, solves === 0, 'the same answer is the same object');
      assert.deepEqual(second.resolution, resolve(asked, createCatalogue(change(published), 2)));
    });
  }
});

test('4,000 gateways of 12 classes cost 12 solves, asked for all at once and again after an unrelated publication', async () => {
  const { solved, answers } = counted();
  const artifacts = [
    ...published,
    ...randomRepository({ seed: 1, components: 20, versions: 5, needs: 2, narrow: 0.3, conflicts: 0 }),
  ];
  const classOf = (gateway: number) => gateway % 12;
  const ask = (gateway: number, catalogue: Catalogue) => {
    const asked = request(['monitor', `c${classOf(gateway)}`]);
    return answers.find('tenant', `${classOf(gateway)}`, asked, catalogue);
  };
  const gateways = Array.from({ length: 4000 }, (_, index) => index);
  const before = createCatalogue(artifacts, 1);
  const found = await Promise.all(gateways.map((gateway) => ask(gateway, before)));
  assert.equal(solved.length, 12);
  assert.equal(new Set(found).size, 12);
  const after = update(before, [...artifacts, artifact('unrelated 1.0.0')]);
  await Promise.all(gateways.map((gateway) => ask(gateway, after)));
  assert.equal(solved.length, 12);
  const related = update(after, [...artifacts, artifact('unrelated 1.0.0'), artifact('svm 2.0.0')]);
  await Promise.all(gateways.map((gateway) => ask(gateway, related)));
  assert.equal(solved.length, 24);
});

test('what was asked for longest ago is forgotten first', async () => {
  const solved: string[] = [];
  const answers = createAnswers({ keep: 2, onSolve: (key) => solved.push(key) });
  const catalogue = createCatalogue(published, 1);
  for (const key of ['a', 'b', 'a', 'c', 'a', 'b']) await answers.find('tenant', key, request('svm'), catalogue);
  assert.deepEqual(solved, ['a', 'b', 'c', 'b']);
});

test('an answer that failed is no answer', async () => {
  const { solved, answers } = counted();
  const broken = { ...createCatalogue(published, 1), versions: () => assert.fail('unreadable') };
  const both = [
    answers.find('tenant', 'a', request('svm'), broken),
    answers.find('tenant', 'a', request('svm'), broken),
  ];
  for (const one of both) await assert.rejects(one, /unreadable/);
  await answers.find('tenant', 'a', request('svm'), createCatalogue(published, 1));
  assert.deepEqual(solved, ['a', 'a']);
});

test('property: while all that was looked at is the same, so is the answer', () => {
  const shape = { components: 8, versions: 3, needs: 2, narrow: 0.5, conflicts: 0.2 };
  let held = 0;
  fc.assert(
    fc.property(fc.nat(), fc.nat(23), fc.nat(7), fc.boolean(), (seed, at, wanted, withdraw) => {
      const artifacts = randomRepository({ seed, ...shape });
      const [changed] = artifacts.slice(at, at + 1) as [Artifact];
      const now = withdraw
        ? artifacts.map((one) => (one === changed ? { ...one, withdrawnAt: 1 } : one))
        : artifacts.filter((one) => one !== changed);
      const asked = request([`c${wanted}`, 'c5']);
      const before = createCatalogue(artifacts, 1);
      const { resolution, looked } = atOnce(solving(asked, before));
      const after = update(before, now);
      const fresh = resolve(asked, createCatalogue(now, 2));
      assert.deepEqual(resolve(asked, after), fresh, 'an updated catalogue is as good as a new one');
      if (!sightingsIn(before, looked).holdIn(after)) return;
      held++;
      assert.deepEqual(resolution, fresh);
    }),
    { numRuns: 300 },
  );
  assert.ok(held > 20);
});
