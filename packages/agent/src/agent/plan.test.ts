import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PackageManifest } from '@leonore/protocol';
import * as fc from 'fast-check';
import { type ComponentSketch, installedSet, manifest } from '../test-support/manifests.ts';
import type { InstalledSet } from './installed.ts';
import { type Plan, planChange, planRollback, type Step } from './plan.ts';

function planned(before: InstalledSet, wanted: PackageManifest): Plan {
  const result = planChange(before, wanted, 7);
  assert.ok(result.outcome === 'plan', result.outcome === 'refused' ? result.why : '');
  return result.plan;
}
function short(steps: readonly Step[]): string[] {
  return steps.map((step) => {
    const name = 'name' in step ? step.name : step.entry.name;
    const version = 'entry' in step ? (step.entry?.folder ?? 'nothing') : step.do === 'discard' ? step.folder : '';
    return `${step.do} ${name} ${version}`.trim();
  });
}

void test('a first installation: needs first, nothing to stop, nothing to clean up', () => {
  const plan = planned(
    {},
    manifest({
      components: [
        { name: 'svm', still: true },
        { name: 'monitor', after: ['svm'] },
      ],
    }),
  );
  assert.deepEqual(short(plan.steps), [
    'place svm 1.0.0',
    'place monitor 1.0.0',
    'install svm 1.0.0',
    'install monitor 1.0.0',
    'activate svm 1.0.0',
    'activate monitor 1.0.0',
    'start svm 1.0.0',
    'check svm 1.0.0',
    'start monitor 1.0.0',
    'check monitor 1.0.0',
  ]);
  assert.deepEqual(plan.cleanUp, []);
  assert.deepEqual(short(planRollback(plan)), [
    'stop monitor',
    'stop svm',
    'activate svm nothing',
    'activate monitor nothing',
    'discard svm 1.0.0',
    'discard monitor 1.0.0',
  ]);
});

void test('the agent itself comes last: handed over, then activated; nothing is stopped or started for it', () => {
  const before = installedSet(
    { name: 'leonore-agent', still: true },
    { name: 'monitor' },
    { name: 'tool', after: ['leonore-agent'] },
  );
  const plan = planned(
    before,
    manifest({
      components: [
        { name: 'leonore-agent', version: '2.0.0', still: true },
        { name: 'monitor', version: '2.0.0' },
      ],
      keep: [{ name: 'tool', after: ['leonore-agent'] }],
    }),
  );
  assert.deepEqual(short(plan.steps), [
    'place leonore-agent 2.0.0',
    'place monitor 2.0.0',
    'stop monitor',
    'install monitor 2.0.0',
    'activate monitor 2.0.0',
    'start monitor 2.0.0',
    'check monitor 2.0.0',
    'install leonore-agent 2.0.0',
    'hand-over leonore-agent 2.0.0',
    'activate leonore-agent 2.0.0',
  ]);
  const back = short(planRollback(plan, plan.steps.length - 2));
  assert.ok(back.includes('activate leonore-agent 1.0.0') && back.includes('start monitor 1.0.0'), back.join());
  assert.ok(!back.includes('stop tool'));
});

void test('without the component the agent that the gateway came with takes over, and only then it is deleted', () => {
  const before = installedSet({ name: 'leonore-agent', still: true });
  const plan = planned(before, manifest({ remove: [{ name: 'leonore-agent' }] }));
  assert.deepEqual(short(plan.steps), ['hand-over leonore-agent nothing', 'activate leonore-agent nothing']);
  assert.deepEqual(short(plan.cleanUp), ['uninstall leonore-agent 1.0.0', 'discard leonore-agent 1.0.0']);
});

void test('an update stops and restarts what needs it, though that stays as it is', () => {
  const before = installedSet({ name: 'svm' }, { name: 'monitor', after: ['svm'] }, { name: 'other' });
  const plan = planned(
    before,
    manifest({ components: [{ name: 'svm', version: '2.0.0' }], keep: [{ name: 'monitor', after: ['svm'] }] }),
  );
  assert.deepEqual(short(plan.steps), [
    'place svm 2.0.0',
    'stop monitor',
    'stop svm',
    'install svm 2.0.0',
    'activate svm 2.0.0',
    'start svm 2.0.0',
    'check svm 2.0.0',
    'start monitor 1.0.0',
    'check monitor 1.0.0',
  ]);
  assert.deepEqual(short(plan.cleanUp), ['discard svm 1.0.0']);
  assert.equal(plan.after['svm']?.previousVersion, '1.0.0');
  assert.equal(plan.after['svm']?.sequence, 7);
  assert.deepEqual(short(planRollback(plan)), [
    'stop monitor',
    'stop svm',
    'activate svm 1.0.0',
    'discard svm 2.0.0',
    'start svm 1.0.0',
    'start monitor 1.0.0',
  ]);
});

void test('a removal is stopped before the commit and uninstalled after it', () => {
  const before = installedSet({ name: 'svm' }, { name: 'monitor', after: ['svm'], installPath: '/opt/monitor' });
  const plan = planned(before, manifest({ remove: [{ name: 'monitor' }, { name: 'svm' }] }));
  assert.deepEqual(short(plan.steps), ['stop monitor', 'stop svm', 'activate monitor nothing', 'activate svm nothing']);
  assert.deepEqual(short(plan.cleanUp), [
    'uninstall monitor 1.0.0',
    'uninstall svm 1.0.0',
    'discard monitor 1.0.0',
    'discard svm 1.0.0',
  ]);
  assert.deepEqual(plan.after, {});
});

void test('what is there already is not done again; only what is asked of it changes', () => {
  const before = installedSet({ name: 'svm' });
  const plan = planned(before, manifest({ components: [{ name: 'svm' }] }));
  assert.deepEqual(plan.steps, []);
  assert.deepEqual(plan.after, before);
});

void test('other content under the same version gets a folder beside the old one', () => {
  const before = installedSet({ name: 'svm' });
  const old = before['svm'];
  assert.ok(old);
  const other = { svm: { ...old, contentSha256: 'f'.repeat(64) as typeof old.contentSha256 } };
  const plan = planned(other, manifest({ components: [{ name: 'svm' }] }));
  assert.notEqual(plan.after['svm']?.folder, '1.0.0');
  assert.match(plan.after['svm']?.folder ?? '', /^1\.0\.0~[0-9a-f]{8}$/);
});

void test('a package made for another installation is refused, saying what differs', () => {
  const why = (before: InstalledSet, wanted: PackageManifest): string => {
    const result = planChange(before, wanted, 1);
    return result.outcome === 'refused' ? result.why : 'taken';
  };
  const keepsSvm = manifest({ components: [{ name: 'a', after: ['svm'] }], keep: [{ name: 'svm', version: '2.0.0' }] });
  assert.match(why({}, keepsSvm), /expects svm 2\.0\.0 to be there already, but it is not/);
  assert.match(why(installedSet({ name: 'svm' }), keepsSvm), /but 1\.0\.0 is/);
  assert.match(why({}, manifest({ components: [{ name: 'a', after: ['b'] }] })), /a 1\.0\.0 needs b/);
  const removesNeed = manifest({ components: [{ name: 'a', after: ['b'] }], remove: [{ name: 'b' }] });
  assert.match(why(installedSet({ name: 'b' }), removesNeed), /a 1\.0\.0 needs b/);
});

/** Up to six components, each needing only earlier ones; each installed or not, and then wanted new, changed, kept or gone. */
const world = fc
  .array(
    fc.record({
      needs: fc.array(fc.nat(5), { maxLength: 3 }),
      had: fc.boolean(),
      still: fc.boolean(),
      fate: fc.constantFrom('change', 'keep', 'remove' as const),
    }),
    { minLength: 1, maxLength: 6 },
  )
  .map((parts) => {
    const before: ComponentSketch[] = [];
    const wanted = {
      components: [] as ComponentSketch[],
      keep: [] as ComponentSketch[],
      remove: [] as { name: string }[],
    };
    const alive = new Set<string>();
    for (const [index, { needs, had, still, fate }] of parts.entries()) {
      const name = `c${index}`;
      const after = [...new Set(needs.filter((need) => need < index).map((need) => `c${need}`))];
      const held = after.filter((need) => before.some((old) => old.name === need));
      if (had) before.push({ name, after: held, still });
      const goes = had && (fate === 'remove' || after.some((need) => !alive.has(need)));
      if (goes) wanted.remove.unshift({ name });
      else if (had && fate === 'keep') wanted.keep.push({ name, after: held });
      else
        wanted.components.push({
          name,
          version: had ? '2.0.0' : '1.0.0',
          after: after.filter((need) => alive.has(need)),
          still,
        });
      if (!goes) alive.add(name);
    }
    return { before: installedSet(...before), wanted: manifest(wanted) };
  });

/** What the steps make of a gateway: which version folders exist, which one counts, what runs beside what. */
function play(plan: Plan, ...sequences: readonly (readonly Step[])[]) {
  const folders = new Set(Object.values(plan.before).map(({ name, folder }) => `${name}/${folder}`));
  const current = new Map<string, string>(Object.values(plan.before).map(({ name, folder }) => [name, folder]));
  const running = new Map<string, string>();
  for (const entry of Object.values(plan.before)) if (entry.run) running.set(entry.name, entry.folder);
  for (const step of sequences.flat()) {
    if (step.do === 'place') folders.add(`${step.entry.name}/${step.entry.folder}`);
    if (step.do === 'discard') {
      assert.notEqual(current.get(step.name), step.folder, 'what counts is never deleted');
      folders.delete(`${step.name}/${step.folder}`);
    }
    if (step.do === 'stop') running.delete(step.name);
    if (step.do === 'activate') {
      assert.ok(!running.has(step.name), `${step.name} does not run while it is switched`);
      if (step.entry) current.set(step.name, step.entry.folder);
      else current.delete(step.name);
    }
    if (step.do === 'start') {
      const set = plan[step.among];
      for (const need of step.entry.after) {
        const wanted = set[need];
        if (wanted?.run) assert.equal(running.get(need), wanted.folder, `${step.entry.name} starts after ${need}`);
      }
      assert.equal(current.get(step.entry.name), step.entry.folder);
      if (step.entry.run) running.set(step.entry.name, step.entry.folder);
    }
  }
  return { folders, current, running };
}
function expected(set: InstalledSet) {
  const entries = Object.values(set);
  return {
    folders: new Set(entries.map(({ name, folder }) => `${name}/${folder}`)),
    current: new Map<string, string>(entries.map(({ name, folder }) => [name, folder])),
    running: new Map<string, string>(entries.filter(({ run }) => run).map(({ name, folder }) => [name, folder])),
  };
}

void test('property: forward and clean-up give `after`; cut anywhere, the way back gives `before`, also when walked twice', () => {
  fc.assert(
    fc.property(world, fc.nat(100), fc.nat(100), ({ before, wanted }, cut, cutBack) => {
      const plan = planned(before, wanted);
      assert.deepEqual(play(plan, plan.steps, plan.cleanUp), expected(plan.after));
      const done = plan.steps.slice(0, cut % (plan.steps.length + 1));
      const back = planRollback(plan);
      assert.deepEqual(play(plan, done, back), expected(before));
      assert.deepEqual(play(plan, done, back.slice(0, cutBack % (back.length + 1)), back), expected(before));
    }),
    { numRuns: 500 },
  );
});
