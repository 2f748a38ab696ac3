import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Artifact, Need } from '@leonore/protocol';
import fc from 'fast-check';
import semver from 'semver';
import { createCatalogue } from './catalogue.ts';
import { artifact } from './generate.ts';
import { bringsIn, type DependentsOptions, dependentsOf } from './graph.ts';
import { atOnce } from './work.ts';

const linux = (arch: string) => ({ os: 'linux', arch });
const needs = (artifacts: Record<string, string>, capabilities: Record<string, string> = {}) => ({
  requires: { artifacts, capabilities },
});

/** `building-monitor 1.4.2: svm ^1.2.0 < ...` */
function shown(artifacts: readonly Artifact[], name: string, options?: DependentsOptions): string[] {
  return atOnce(dependentsOf(createCatalogue(artifacts, 1), name, options)).map(
    (one) =>
      `${[`${one.name} ${one.version}`, ...one.path].join(' < ')}: ${one.needs.join(' and ')}${one.withdrawn ? ' (withdrawn)' : ''}`,
  );
}

describe('dependentsOf', () => {
  const site = [
    artifact('svm 1.2.27'),
    artifact('svm 1.2.28', { provides: { 'sedona-vm': '1.2' } }),
    artifact('svm 2.0.0-rc.1'),
    artifact('building-monitor 1.4.2', needs({ svm: '^1.2.0' })),
    artifact('building-monitor 2.1.0', needs({ svm: '>=2' })),
    artifact('lift 1.0.0', { ...needs({}, { 'sedona-vm': '>=1.2' }), withdrawn: 'leaks' }),
    artifact('dashboard 3.0.0', needs({ 'building-monitor': '*', svm: '1.2.27' })),
    artifact('wall 1.0.0', needs({ dashboard: '^3' })),
    artifact('alone 1.0.0'),
  ];

  it('names each build with what it declares, what is withdrawn too', () => {
    assert.deepEqual(shown(site, 'svm'), [
      'building-monitor 2.1.0: svm >=2',
      'building-monitor 1.4.2: svm ^1.2.0',
      'dashboard 3.0.0: svm 1.2.27',
      'lift 1.0.0: capability sedona-vm >=1.2 (withdrawn)',
    ]);
    assert.deepEqual(shown(site, 'alone'), []);
    assert.deepEqual(shown(site, 'nobody'), []);
  });

  it('of some versions names only who could use one of them', () => {
    assert.deepEqual(shown(site, 'svm', { range: '1.2.28' }), [
      'building-monitor 1.4.2: svm ^1.2.0',
      'lift 1.0.0: capability sedona-vm >=1.2 (withdrawn)',
    ]);
    assert.deepEqual(shown(site, 'svm', { range: '<1.2.28' }), [
      'building-monitor 1.4.2: svm ^1.2.0',
      'dashboard 3.0.0: svm 1.2.27',
    ]);
    assert.deepEqual(shown(site, 'svm', { range: '^3' }), []);
  });

  it('knows who needs a version that nobody published', () => {
    assert.deepEqual(shown(site, 'svm', { range: '1.2.99' }), ['building-monitor 1.4.2: svm ^1.2.0']);
    assert.deepEqual(shown([artifact('app 1.0.0', needs({ gone: '^1' }))], 'gone'), ['app 1.0.0: gone ^1']);
  });

  it('follows who needs those who need it, by a shortest path', () => {
    assert.deepEqual(shown(site, 'svm', { range: '1.2.28', transitive: true }), [
      'building-monitor 1.4.2: svm ^1.2.0',
      'lift 1.0.0: capability sedona-vm >=1.2 (withdrawn)',
      'dashboard 3.0.0 < building-monitor 1.4.2: building-monitor',
      'wall 1.0.0 < dashboard 3.0.0 < building-monitor 1.4.2: dashboard ^3',
    ]);
  });

  it('counts alternatives and what is optional', () => {
    const site = [
      artifact('jvm 17.0.0', { provides: { java: '17' } }),
      artifact('meter 1.0.0', {
        requires: {
          anyOf: [
            [
              { artifact: 'graal', range: '>=22' },
              { capability: 'java', range: '>=11' },
            ],
          ],
        },
      }),
      artifact('logger 1.0.0', { requires: { optional: { jvm: '^17' } } }),
      artifact('other 1.0.0', {
        requires: { anyOf: [[{ capability: 'java', range: '>=21' }, { capability: 'dotnet' }]] },
      }),
    ];
    assert.deepEqual(shown(site, 'jvm', { range: '17.0.0' }), [
      'logger 1.0.0: optional jvm ^17',
      'meter 1.0.0: graal >=22 or capability java >=11',
    ]);
    assert.deepEqual(shown(site, 'graal'), ['meter 1.0.0: graal >=22 or capability java >=11']);
  });

  it('lists every platform, and ends in a circle', () => {
    const circle = [
      artifact('a 1.0.0', needs({ b: '*' })),
      artifact('b 1.0.0', { ...needs({ a: '*' }), platform: linux('x64') }),
      artifact('b 1.0.0', { ...needs({ a: '*' }), platform: linux('arm64') }),
    ];
    const found = atOnce(dependentsOf(createCatalogue(circle, 1), 'a', { transitive: true }));
    assert.deepEqual(
      found.map(({ name, platform, path }) => [name, platform.arch, path]),
      [
        ['b', 'arm64', []],
        ['b', 'x64', []],
      ],
    );
  });

  it('finds exactly who brute force finds, each by a true and shortest path', () => {
    const someNames = fc.constantFrom('a', 'b', 'c', 'd', 'e');
    const someCapabilities = fc.constantFrom('java', 'modbus');
    const someVersions = fc.constantFrom('1.0.0', '1.1.0', '2.0.0');
    const someRanges = fc.constantFrom('*', '^1', '>=1.1', '^2', '^9');
    const some = <T>(keys: fc.Arbitrary<string>, values: fc.Arbitrary<T>) =>
      fc.dictionary(keys, values, { maxKeys: 2, noNullPrototype: true });
    const build = fc
      .record({
        name: someNames,
        version: someVersions,
        artifacts: some(someNames, someRanges),
        capabilities: some(someCapabilities, someRanges),
        provides: some(someCapabilities, fc.constantFrom('1', '2.0')),
      })
      .map(({ name, version, provides, ...requires }) => {
        delete requires.artifacts[name];
        return artifact(`${name} ${version}`, { requires, provides });
      });
    const repository = fc.uniqueArray(build, {
      selector: ({ manifest }) => `${manifest.name} ${manifest.version}`,
      maxLength: 12,
    });
    let longest = 0;
    fc.assert(
      fc.property(repository, someNames, fc.option(someRanges, { nil: undefined }), (artifacts, name, range) => {
        const found = atOnce(dependentsOf(createCatalogue(artifacts, 1), name, { range, transitive: true }));
        const expected = bruteForce(artifacts, name, range);
        assert.deepEqual(
          new Map(found.map((one) => [`${one.name} ${one.version}`, one.path.length])),
          new Map([...expected].map(([label, distance]) => [label, distance - 1])),
        );
        const byLabel = new Map(artifacts.map((one) => [`${one.manifest.name} ${one.manifest.version}`, one]));
        for (const { name: from, version, path } of found) {
          const steps = [`${from} ${version}`, ...path].map((label) => byLabel.get(label)!);
          for (const [i, step] of steps.entries())
            if (steps[i + 1]) assert.ok(needsBuild(step, steps[i + 1]!), `${from}: ${path.join()}`);
          longest = Math.max(longest, path.length);
        }
        const direct = atOnce(dependentsOf(createCatalogue(artifacts, 1), name, { range }));
        assert.deepEqual(
          direct,
          found.filter(({ path }) => path.length === 0),
        );
      }),
      { numRuns: 2000 },
    );
    assert.ok(longest >= 2, 'the repositories are deep enough to mean something');
  });
});

/** Label -> distance, by going over all pairs until nothing is new. */
function bruteForce(artifacts: readonly Artifact[], name: string, range: string | undefined): Map<string, number> {
  const others = artifacts.filter(({ manifest }) => manifest.name !== name);
  const targets = artifacts.filter(
    ({ manifest }) => manifest.name === name && (range === undefined || semver.satisfies(manifest.version, range)),
  );
  const distances = new Map<Artifact, number>();
  for (const one of others) {
    const byName = range === undefined && Object.hasOwn(one.manifest.requires.artifacts, name);
    if (byName || targets.some((target) => needsBuild(one, target))) distances.set(one, 1);
  }
  for (let changed = true; changed; ) {
    changed = false;
    for (const one of others) {
      for (const [between, distance] of distances) {
        if (!needsBuild(one, between) || distance + 1 >= (distances.get(one) ?? Infinity)) continue;
        distances.set(one, distance + 1);
        changed = true;
      }
    }
  }
  return new Map([...distances].map(([{ manifest }, distance]) => [`${manifest.name} ${manifest.version}`, distance]));
}

function needsBuild({ manifest }: Artifact, { manifest: other }: Artifact): boolean {
  if (manifest.name === other.name) return false;
  const { artifacts, capabilities } = manifest.requires;
  const range = artifacts[other.name];
  return (
    (range !== undefined && semver.satisfies(other.version, range)) ||
    Object.entries(capabilities).some(([capability, wanted]) => {
      const text = other.provides[capability];
      return text !== undefined && semver.satisfies(semver.coerce(text)!, wanted);
    })
  );
}

describe('bringsIn', () => {
  /** `svm ^1: svm 1.2.28,1.2.27 [...]` */
  function words(all: readonly Need[]): string[] {
    return all.map(({ text, platforms, candidates }) => {
      const each = candidates.map(({ name, versions, mark, needs: below }) => {
        const inside = words(below).join('; ');
        return `${name} ${versions.join(',')}${mark ? ` ${mark}` : ''}${inside ? ` [${inside}]` : ''}`;
      });
      return `${text}${platforms ? ` on ${platforms.join()}` : ''}: ${each.join(' | ') || 'nobody'}`;
    });
  }
  const tree = (artifacts: readonly Artifact[], label: string) => {
    const [name = '', version = ''] = label.split(' ');
    const found = atOnce(bringsIn(createCatalogue(artifacts, 1), name, version));
    return found && words(found.needs);
  };

  it('shows the versions that would do, and what the newest of them needs', () => {
    const artifacts = [
      artifact('app 1.0.0', needs({ svm: '^1' }, { java: '>=11' })),
      artifact('svm 1.1.0', needs({ old: '*' })),
      artifact('svm 1.2.0', needs({ modbus: '*' })),
      artifact('svm 1.3.0', { withdrawn: 'crashes' }),
      artifact('svm 1.4.0-rc.1'),
      artifact('svm 2.0.0'),
      artifact('modbus 3.0.0'),
      artifact('jre 17.0.0', { provides: { java: '17' } }),
      artifact('jre 21.0.0-ea.1', { provides: { java: '21' } }),
      artifact('jdk 11.0.0', { ...needs({ modbus: '^3' }), provides: { java: '11' } }),
      artifact('jdk 8.0.0', { provides: { java: '8' } }),
    ];
    assert.deepEqual(tree(artifacts, 'app 1.0.0'), [
      'svm ^1: svm 1.2.0,1.1.0 [modbus: modbus 3.0.0]',
      'capability java >=11: jdk 11.0.0 [modbus ^3: modbus 3.0.0] | jre 17.0.0',
    ]);
    assert.deepEqual(tree(artifacts, 'modbus 3.0.0'), []);
    assert.equal(tree(artifacts, 'modbus 4.0.0'), undefined);
    assert.equal(tree(artifacts, 'nobody 1.0.0'), undefined);
  });

  it('says what nobody offers, and which builds need what', () => {
    const artifacts = [
      artifact('app 1.0.0', { ...needs({ gone: '^1', lib: '*' }), platform: linux('x64') }),
      artifact('app 1.0.0', { ...needs({ lib: '*' }), platform: linux('arm64') }),
      artifact('lib 1.0.0'),
    ];
    assert.deepEqual(tree(artifacts, 'app 1.0.0'), ['gone ^1 on linux-x64-any: nobody', 'lib: lib 1.0.0']);
  });

  it('shows choices in their order, each artifact once, and what is optional last', () => {
    const artifacts = [
      artifact('app 1.0.0', {
        requires: {
          artifacts: { lib: '*' },
          optional: { extras: '^2', lcd: '*' },
          anyOf: [
            [
              { artifact: 'jvm', range: '>=21' },
              { capability: 'java', range: '>=17' },
            ],
          ],
        },
      }),
      artifact('lib 1.0.0'),
      artifact('extras 2.0.0'),
      artifact('art 17.0.0', { provides: { java: '17' } }),
      artifact('jvm 21.0.0', { provides: { java: '21' } }),
      artifact('jvm 17.0.0', { provides: { java: '17' } }),
      artifact('jvm 11.0.0', { provides: { java: '11' } }),
    ];
    assert.deepEqual(tree(artifacts, 'app 1.0.0'), [
      'lib: lib 1.0.0',
      'jvm >=21 or capability java >=17: jvm 21.0.0,17.0.0 | art 17.0.0',
      'optional extras ^2: extras 2.0.0',
      'optional lcd: nobody',
    ]);
  });

  it('ends cycles with a mark, and shows what is needed twice once', () => {
    const circle = [
      artifact('a 1.0.0', needs({ b: '*' })),
      artifact('b 1.0.0', needs({ a: '*', c: '*' })),
      artifact('c 1.0.0', needs({ b: '*' })),
    ];
    assert.deepEqual(tree(circle, 'a 1.0.0'), ['b: b 1.0.0 [a: a 1.0.0 cycle; c: c 1.0.0 [b: b 1.0.0 cycle]]']);
    const diamond = [
      artifact('top 1.0.0', needs({ left: '*', right: '*' })),
      artifact('left 1.0.0', needs({ base: '*' })),
      artifact('right 1.0.0', needs({ base: '*' })),
      artifact('base 1.0.0', needs({ leaf: '*' })),
      artifact('leaf 1.0.0'),
    ];
    assert.deepEqual(tree(diamond, 'top 1.0.0'), [
      'left: left 1.0.0 [base: base 1.0.0 [leaf: leaf 1.0.0]]',
      'right: right 1.0.0 [base: base 1.0.0 again]',
    ]);
  });

  it('stays small where everything needs everything', () => {
    const artifacts = Array.from({ length: 40 }, (_, i) =>
      artifact(
        `c${i} 1.0.0`,
        needs(
          Object.fromEntries(Array.from({ length: 40 }, (_, j) => [`c${j}`, '*']).filter(([name]) => name !== `c${i}`)),
        ),
      ),
    );
    const found = atOnce(bringsIn(createCatalogue(artifacts, 1), 'c0', '1.0.0'));
    const count = (all: readonly Need[]): number =>
      all.reduce(
        (sum, { candidates }) => sum + candidates.reduce((inner, { needs: below }) => inner + 1 + count(below), 0),
        0,
      );
    assert.equal(count(found?.needs ?? []), 40 * 39);
  });
});
