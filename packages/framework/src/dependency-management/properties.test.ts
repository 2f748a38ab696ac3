/** The resolver against brute force on small random repositories. LEONORE_FUZZ_RUNS asks for more of them. */
import type { Artifact, InstallPlan, Resolution } from '@leonore/protocol';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import semver from 'semver';
import { allModels, meetsNeedOf, preference, type Model } from './brute-force.ts';
import { artifact, installed, request } from './generate.ts';
import { areWithin } from './margins.ts';
import { createCatalogue, gatewayClassKey, resolve, type ResolveRequest } from './mod.ts';
import { solving } from './solver.ts';
import { atOnce } from './work.ts';

const numRuns = Number(process.env['LEONORE_FUZZ_RUNS'] ?? 400);
const NAMES = ['a', 'b', 'c', 'd'];
/** `value` once in `times`, else `otherwise`. */
const once = <T>(times: number, value: fc.Arbitrary<T>, otherwise: fc.Arbitrary<T>): fc.Arbitrary<T> =>
  fc.oneof({ depthSize: 'max' }, { weight: times - 1, arbitrary: otherwise }, { weight: 1, arbitrary: value });
const nothing = fc.constant(undefined);
const range = once(
  16,
  fc.constantFrom('>=3.0.0-beta.1', '>=4', '1.0.0'),
  fc.constantFrom('*', '*', '^1.0.0', '>=1.1.0', '^2.0.0', '<2.0.0'),
);

interface Shape {
  readonly capabilities: boolean;
  readonly obstacles: boolean;
  /** Optional dependencies, alternatives, compatible architectures. */
  readonly choices: boolean;
}
interface Case {
  readonly artifacts: readonly Artifact[];
  readonly request: ResolveRequest;
}

/** Most have all three releases; now and then a pre-release, a second build of the newest, or nothing at all. */
const versionsOf = (name: string, shape: Shape) => {
  const at = (version: string, times: number) =>
    once(
      times,
      nothing,
      build(name, shape).map((made) => ({ ...made, version })),
    );
  const rare = (version: string) =>
    once(
      6,
      build(name, shape).map((made) => ({ ...made, version })),
      nothing,
    );
  const made = fc
    .tuple(at('1.0.0', 4), at('1.1.0', 4), at('2.0.0', 5), rare('2.0.0'), rare('3.0.0-beta.1'))
    .map((list) => list.filter((one) => one !== undefined));
  return once(
    25,
    made.map((list) => list.slice(0, 0)),
    made,
  );
};

const build = (name: string, { capabilities, obstacles, choices }: Shape) => {
  const others = fc.constantFrom(...NAMES.filter((other) => other !== name));
  const some = (maxKeys: number) => fc.dictionary(others, range, { maxKeys, size: 'max' });
  const able = (value: fc.Arbitrary<string>): fc.Arbitrary<Record<string, string>> =>
    capabilities
      ? once(3, fc.dictionary(fc.constantFrom('x', 'y'), value, { minKeys: 1 }), fc.constant({}))
      : fc.constant({});
  const rarely = <T>(value: fc.Arbitrary<T>, otherwise: T) =>
    obstacles ? once(10, value, fc.constant(otherwise)) : fc.constant(otherwise);
  const alternative = fc.oneof(
    fc.record({ artifact: others, range }),
    fc.record({ capability: fc.constantFrom('x', 'y'), range: fc.constantFrom('*', '>=2') }),
  );
  const chosen = <T>(times: number, value: fc.Arbitrary<T>, otherwise: T) =>
    choices ? once(times, value, fc.constant(otherwise)) : fc.constant(otherwise);
  const requires = fc
    .record({
      artifacts: some(2),
      optional: chosen(2, some(2), {}),
      capabilities: able(fc.constantFrom('*', '>=2', '^1.0.0')),
      anyOf: chosen(3, fc.array(fc.array(alternative, { minLength: 2, maxLength: 3 }), { maxLength: 2 }), []),
      resources: fc.record({ memory: fc.nat(4), disk: fc.nat(2) }),
    })
    .map((made) => {
      const wishes = Object.entries(made.optional).filter(([other]) => !Object.hasOwn(made.artifacts, other));
      return { ...made, optional: Object.fromEntries(wishes) };
    });
  return fc.record({
    requires,
    provides: able(fc.constantFrom('1', '2.0', '3.1.0')),
    conflicts: rarely(some(1), {}),
    platform: rarely(
      fc.constantFrom<Record<string, string>>(
        { libc: 'musl' },
        { arch: 'arm64' },
        { os: 'linux', arch: 'x64' },
        { arch: 'arm' },
      ),
      {},
    ),
    unpackedSize: fc.nat(4),
    withdrawn: rarely<string | undefined>(fc.constant('bad'), undefined),
  });
};

const cases = (shape: Shape): fc.Arbitrary<Case> =>
  fc
    .record({
      builds: fc.tuple(...NAMES.map((name) => versionsOf(name, shape))),
      applications: fc.array(
        fc.record({
          name: once(40, fc.constant('e'), fc.constantFrom('a', 'a', 'b', 'c', 'd')),
          range: once(3, range, fc.constant('*')),
        }),
        { minLength: 1, maxLength: 3 },
      ),
      installed: fc.uniqueArray(
        fc.record({
          name: fc.constantFrom(...NAMES, 'e'),
          version: once(8, fc.constant('2.5.0'), fc.constantFrom('1.0.0', '1.1.0', '2.0.0')),
          requested: fc.boolean(),
        }),
        { maxLength: 3, selector: ({ name }) => name },
      ),
      capabilities: fc.dictionary(fc.constantFrom('x', 'y'), fc.constantFrom('1.8', '2'), { maxKeys: 1 }),
      memory: once<number | undefined>(4, fc.nat(12), nothing),
      disk: once<number | undefined>(4, fc.nat(12), nothing),
      upgrade: fc.boolean(),
      compatibleArchs: shape.choices ? fc.subarray(['arm', 'x64']) : fc.constant([]),
    })
    .map((made) => {
      const artifacts = made.builds.flatMap((list, index) => {
        const unique = new Map(list.map((one) => [`${one.version} ${JSON.stringify(one.platform)}`, one]));
        return [...unique.values()].map(({ version, withdrawn, ...rest }) =>
          artifact(`${NAMES[index]} ${version}`, { ...rest, ...(withdrawn === undefined ? {} : { withdrawn }) }),
        );
      });
      return {
        artifacts,
        request: request(
          made.applications.map((one) => `${one.name} ${one.range}`),
          {
            installed: installed(
              ...made.installed.map((one) => `${one.name} ${one.version}${one.requested ? ' requested' : ''}`),
            ),
            capabilities: shape.capabilities ? made.capabilities : {},
            resources: {
              ...(made.memory === undefined ? {} : { memory: made.memory }),
              ...(made.disk === undefined ? {} : { disk: made.disk }),
            },
            upgrade: made.upgrade,
            compatibleArchs: made.compatibleArchs,
          },
        ),
      };
    });

/** Without fast-check's liking for the smallest values: most cases shall have something to solve. */
const everything = fc.noBias(cases({ capabilities: true, obstacles: true, choices: true }));

function modelOf(plan: InstallPlan): Model {
  return new Map(plan.steps.map(({ name, version }) => [name, version]));
}
const textOf = (model: Model): string =>
  [...model]
    .map(([name, version]) => `${name} ${version}`)
    .toSorted()
    .join();

test('a plan is there exactly when brute force finds one, and it is one of those', () => {
  fc.assert(
    fc.property(everything, ({ artifacts, request }) => {
      const resolution = resolve(request, createCatalogue(artifacts, 1));
      const models = allModels(request, artifacts);
      assert.equal(resolution.outcome, models.length > 0 ? 'plan' : 'unsatisfiable');
      if (resolution.outcome === 'plan') assert.ok(new Set(models.map(textOf)).has(textOf(modelOf(resolution.plan))));
    }),
    { numRuns },
  );
});

test('the requested applications get the best versions there are, the first one first', () => {
  fc.assert(
    fc.property(everything, ({ artifacts, request }) => {
      const resolution = resolve(request, createCatalogue(artifacts, 1));
      if (resolution.outcome !== 'plan') return;
      let models = allModels(request, artifacts);
      const model = modelOf(resolution.plan);
      for (const { name } of request.applications) {
        const order = preference(name, request, artifacts);
        const best = Math.min(...models.map((one) => order.indexOf(one.get(name) ?? '')));
        assert.equal(model.get(name), order[best]);
        models = models.filter((one) => one.get(name) === order[best]);
      }
    }),
    { numRuns },
  );
});

test('no dependency could be better with all else as it is', () => {
  fc.assert(
    fc.property(
      fc.noBias(cases({ capabilities: false, obstacles: true, choices: false })),
      ({ artifacts, request }) => {
        const resolution = resolve(request, createCatalogue(artifacts, 1));
        if (resolution.outcome !== 'plan') return;
        const models = new Set(allModels(request, artifacts).map(textOf));
        const model = modelOf(resolution.plan);
        for (const [name, version] of model) {
          const order = preference(name, request, artifacts);
          for (const better of order.slice(0, order.indexOf(version))) {
            assert.ok(!models.has(textOf(new Map([...model, [name, better]]))), `${name} ${better} would do`);
          }
        }
      },
    ),
    { numRuns },
  );
});

test('what is optional is there exactly when it can be added to the rest, and never changes the rest', () => {
  let wished = 0;
  fc.assert(
    fc.property(everything, ({ artifacts, request }) => {
      const catalogue = createCatalogue(artifacts, 1);
      const resolution = resolve(request, catalogue);
      if (resolution.outcome !== 'plan') return;
      const { steps } = resolution.plan;
      const model = modelOf(resolution.plan);
      const models = allModels(request, artifacts);
      for (const step of steps) {
        const build = artifacts.find(({ contentSha256 }) => contentSha256 === step.contentSha256);
        for (const [name, range] of Object.entries(build?.manifest.requires.optional ?? {})) {
          const there = model.get(name);
          wished++;
          if (there !== undefined) assert.ok(semver.satisfies(there, range));
          const could = models.find(
            (other) =>
              semver.satisfies(other.get(name) ?? '', range) &&
              [...model].every(([known, version]) => other.get(known) === version),
          );
          if (there === undefined) assert.equal(could && textOf(could), undefined, `${step.name} could have ${name}`);
        }
      }
      // Without a single wish, only with their ranges as conditions, the rest is the same.
      const plain = resolve(request, createCatalogue(asConflicts(artifacts, request), 1));
      if (plain.outcome !== 'plan') assert.fail('there is no plan without what is optional');
      for (const [name, version] of modelOf(plain.plan)) assert.equal(model.get(name), version);
    }),
    { numRuns },
  );
  assert.ok(wished > numRuns / 20);
});

test('a plan holds what is needed and nothing else, in an order that works, and accounts for all that is installed', () => {
  fc.assert(
    fc.property(everything, ({ artifacts, request }) => {
      const resolution = resolve(request, createCatalogue(artifacts, 1));
      if (resolution.outcome !== 'plan') return;
      const { steps, remove } = resolution.plan;
      const done = new Set<string>();
      const needed = new Set<string>(request.applications.map(({ name }) => name));
      for (const step of steps) {
        for (const other of step.after) assert.ok(done.has(other), `${step.name} comes before ${other}`);
        done.add(step.name);
        const build = artifacts.find(({ contentSha256 }) => contentSha256 === step.contentSha256);
        for (const name of Object.keys(build?.manifest.requires.artifacts ?? {}))
          assert.ok(step.after.includes(name as never));
        const before = request.installed.find(({ name }) => name === step.name)?.version;
        const action = before === undefined ? 'install' : before === step.version ? 'keep' : 'update';
        assert.equal(step.action, action);
        assert.equal(step.from, action === 'update' ? before : undefined);
        assert.equal(
          step.requested,
          request.applications.some(({ name }) => name === step.name),
        );
        if (action !== 'keep') assert.equal(build?.withdrawnAt, undefined);
        if (action !== 'keep') assert.ok(build);
        assert.notEqual(step.because, '');
      }
      const byName = new Map<string, (typeof steps)[number]>(steps.map((step) => [step.name, step]));
      for (const name of needed) {
        const step = byName.get(name);
        const build = artifacts.find(({ contentSha256 }) => contentSha256 === step?.contentSha256);
        // What is optional may come later, where it needs the one that can use it.
        const optional = Object.keys(build?.manifest.requires.optional ?? {}).filter((other) => byName.has(other));
        for (const other of [...(step?.after ?? []), ...optional]) needed.add(other);
      }
      for (const { name } of steps) assert.ok(needed.has(name), `nobody needs ${name}`);
      const gone = request.installed.filter(({ name }) => !done.has(name));
      assert.deepEqual(remove.map(({ name }) => name).toSorted(), gone.map(({ name }) => name).toSorted());
    }),
    { numRuns },
  );
});

test('an explanation is enough by itself, and without any one of its facts there is a solution', () => {
  fc.assert(
    fc.property(everything, ({ artifacts, request }) => {
      const resolution = resolve(request, createCatalogue(artifacts, 1));
      if (resolution.outcome !== 'unsatisfiable') return;
      const { facts } = resolution.explanation;
      const keyOf = (fact: { kind: string; subject?: string | undefined; object?: string | undefined }) =>
        `${fact.kind} ${fact.subject} ${fact.object}`;
      const keys = facts.map(keyOf);
      assert.equal(new Set(keys).size, keys.length);
      const solvable = (some: readonly string[]) => {
        const inForce = new Set(some);
        return allModels(request, artifacts, (fact) => inForce.has(keyOf(fact))).length > 0;
      };
      assert.ok(!solvable(keys), 'these facts alone leave a solution');
      for (const key of keys) assert.ok(solvable(keys.filter((other) => other !== key)), `${key} is superfluous`);
      for (const { text } of facts) assert.match(text, /^\S.*\S$/);
    }),
    { numRuns },
  );
});

test('each fact of an explanation is true, and speaks of what there is', () => {
  fc.assert(
    fc.property(everything, ({ artifacts, request }) => {
      const resolution = resolve(request, createCatalogue(artifacts, 1));
      if (resolution.outcome !== 'unsatisfiable') return;
      for (const { kind, subject = '', object = '', text } of resolution.explanation.facts) {
        const builds = artifacts.filter(({ manifest }) => manifest.name === subject);
        const some = (holds: (manifest: Artifact['manifest']) => boolean) => builds.some((one) => holds(one.manifest));
        const truths: Record<string, () => boolean> = {
          requested: () => request.applications.some(({ name, range }) => name === subject && range === object),
          unknown: () => builds.length === 0 && text.startsWith(`there is no artifact ${subject}`),
          'no-version': () => builds.length > 0 || request.installed.some(({ name }) => name === subject),
          requires: () => some(({ requires }) => Object.hasOwn(requires.artifacts, object)),
          capability: () => some(({ requires }) => Object.hasOwn(requires.capabilities, object)),
          'any-of': () => some(({ requires }) => (requires.anyOf ?? []).length > 0),
          optional: () => some(({ requires }) => Object.hasOwn(requires.optional ?? {}, object)),
          conflict: () => some(({ conflicts }) => Object.hasOwn(conflicts, object)),
          platform: () => some(({ platform }) => Object.keys(platform).length > 0),
          withdrawn: () => builds.some(({ withdrawnAt }) => withdrawnAt !== undefined),
          resource: () => (request.resources?.[subject as 'memory' | 'disk'] ?? Infinity) < Infinity,
          cycle: () => circlesIn(text).every((circle) => isCircle(circle, request, artifacts)),
        };
        assert.ok(truths[kind]?.(), `${kind} ${subject} ${object}: ${text}`);
        // Every "NAME VERSION" that is told about is there to be had, or installed.
        for (const [, name, version] of text.matchAll(/\b([a-d]) (\d+\.\d+\.\d+(?:-beta\.1)?)(?= [(np]| ->| would)/g)) {
          const known = [...artifacts.map(({ manifest }) => manifest), ...request.installed];
          assert.ok(
            known.some((one) => one.name === name && one.version === version),
            text,
          );
        }
      }
    }),
    { numRuns },
  );
});

/** `a 1.0.0 -> b 1.0.0 -> a 1.0.0 and ...`: each as its members, the first one again at the end. */
function circlesIn(text: string): string[][] {
  const told = / (?:is a circle|are circles): none of them can be installed first$/.exec(text);
  assert.ok(told, text);
  const circles = text.slice(0, told.index).split(/, | and /);
  assert.ok(circles.length > 0 && circles.every((one) => one.includes(' -> ') || one.endsWith(' more')), text);
  return circles.filter((one) => one.includes(' -> ')).map((one) => one.split(' -> '));
}

/** Each is one that the gateway could get, and has a need that the next one meets; no more than one version of anything. */
function isCircle(circle: readonly string[], request: ResolveRequest, artifacts: readonly Artifact[]): boolean {
  const members = circle.slice(0, -1);
  const names = new Set(members.map((member) => member.split(' ')[0]));
  if (circle.at(-1) !== circle[0] || names.size !== members.length) return false;
  return members.every((member, at) => {
    const [name = '', version = ''] = member.split(' ');
    const [next = '', nextVersion = ''] = (circle[at + 1] ?? '').split(' ');
    return meetsNeedOf({ name, version }, { name: next, version: nextVersion }, request, artifacts);
  });
}

test('the order in which things are given does not matter, save that of the applications', () => {
  const shuffled = everything.chain((one) =>
    fc.record({
      one: fc.constant(one),
      artifacts: fc.shuffledSubarray([...one.artifacts], { minLength: one.artifacts.length }),
      installed: fc.shuffledSubarray([...one.request.installed], { minLength: one.request.installed.length }),
    }),
  );
  fc.assert(
    fc.property(shuffled, ({ one, artifacts, installed }) => {
      const other = { ...one.request, installed };
      const turned = artifacts.map((entry) => ({ ...entry, manifest: turnRound(entry.manifest) }));
      assert.deepEqual(
        resolve(other, createCatalogue(turned, 2)),
        resolve(one.request, createCatalogue(one.artifacts, 1)),
      );
      assert.equal(gatewayClassKey(other), gatewayClassKey(one.request));
    }),
    { numRuns },
  );
});

test('once a plan is carried out, the same request keeps what is there; at most it finds something it can do without', () => {
  fc.assert(
    fc.property(everything, ({ artifacts, request }) => {
      const catalogue = createCatalogue(artifacts, 1);
      let resolution = resolve(request, catalogue);
      if (resolution.outcome !== 'plan') return;
      for (let left = resolution.plan.steps.length; ; left--) {
        const present = resolution.plan.steps.map(({ name, version, requested }) => ({ name, version, requested }));
        // What was left out for want of space has no more space now.
        const { disk = Infinity } = request.resources ?? {};
        const taken = resolution.plan.steps
          .filter(({ action }) => action !== 'keep')
          .map((step) => catalogue.find(step));
        const bytes = taken.map((build) =>
          Math.max(build?.unpackedSize ?? 0, build?.manifest.requires.resources.disk ?? 0),
        );
        const resources = { ...request.resources, disk: disk - bytes.reduce((sum, one) => sum + one, 0) };
        request = { ...request, installed: present, resources, upgrade: false };
        resolution = resolve(request, catalogue);
        if (resolution.outcome !== 'plan') assert.fail('there is no plan any more');
        assert.ok(resolution.plan.steps.every(({ action }) => action === 'keep'));
        if (resolution.plan.remove.length === 0) return;
        assert.ok(left > 0);
      }
    }),
    { numRuns },
  );
});

test('an answer says truly how much memory and disk others may have for whom it is the same', () => {
  let shared = 0;
  const amount = fc.option(fc.nat(14), { nil: undefined });
  fc.assert(
    fc.property(everything, amount, amount, ({ artifacts, request }, memory, disk) => {
      const catalogue = createCatalogue(artifacts, 1);
      const { resolution, looked } = atOnce(solving(request, catalogue));
      const resources = {
        ...(memory === undefined ? {} : { memory }),
        ...(disk === undefined ? {} : { disk }),
      };
      const other = { ...request, resources };
      if (gatewayClassKey(other) !== gatewayClassKey(request) || !areWithin(looked.margins, resources)) return;
      shared++;
      assert.deepEqual(withoutAmounts(resolve(other, catalogue)), withoutAmounts(resolution));
    }),
    { numRuns: 2 * numRuns },
  );
  assert.ok(shared > numRuns / 10, `${shared}`);
});

/** How much the gateway has is told for one of them. */
function withoutAmounts(resolution: Resolution): unknown {
  if (resolution.outcome === 'plan') return resolution;
  const { explanation } = resolution;
  const facts = explanation.facts.map((fact) => (fact.kind === 'resource' ? { ...fact, text: '' } : fact));
  return { ...explanation, facts };
}

test('versions in a plan are inside every range that asks for them', () => {
  fc.assert(
    fc.property(everything, ({ artifacts, request }) => {
      const resolution = resolve(request, createCatalogue(artifacts, 1));
      if (resolution.outcome !== 'plan') return;
      const model = modelOf(resolution.plan);
      for (const { name, range } of request.applications) assert.ok(semver.satisfies(model.get(name) ?? '', range));
    }),
    { numRuns },
  );
});

/** Optional dependencies as conditions only: a conflict with each version that is out of the range. */
function asConflicts(artifacts: readonly Artifact[], { installed: present }: ResolveRequest): Artifact[] {
  return artifacts.map((one) => {
    const conflicts: Record<string, string> = { ...one.manifest.conflicts };
    for (const [name, range] of Object.entries(one.manifest.requires.optional ?? {})) {
      const versions = [...artifacts.map(({ manifest }) => manifest), ...present].filter(
        (other) => other.name === name,
      );
      const out = versions.map(({ version }) => version).filter((version) => !semver.satisfies(version, range));
      if (out.length > 0) conflicts[name] = [conflicts[name] ?? [], out].flat().join(' || ');
    }
    const { optional: _optional, ...requires } = one.manifest.requires;
    return { ...one, manifest: { ...one.manifest, requires, conflicts } };
  });
}

function turnRound<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map((inner: unknown) => turnRound(inner)) as T;
  return Object.fromEntries(
    Object.entries(value)
      .toReversed()
      .map(([key, inner]) => [key, turnRound(inner as unknown)]),
  ) as T;
}
