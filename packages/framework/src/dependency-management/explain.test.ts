/** What explanations say, word for word. */
import type { Artifact } from '@leonore/protocol';
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { artifact, installed, request } from './generate.ts';
import { createCatalogue, explanationText, resolve, type ResolveRequest } from './mod.ts';

const needs = (artifacts: Record<string, string>) => ({ requires: { artifacts } });
const able = (capabilities: Record<string, string>) => ({ requires: { capabilities } });
const musl = { platform: { os: 'linux', arch: 'arm64', libc: 'musl' } };
const glibc = { platform: { libc: 'glibc' } };

const svm = [artifact('svm 1.2.28'), artifact('svm 2.0.0', glibc), artifact('svm 2.1.0', glibc)];
const monitor = [
  artifact('building-monitor 1.4.2', needs({ svm: '^1.2.0' })),
  artifact('building-monitor 2.1.0', needs({ svm: '>=2' })),
];
const meter = artifact('java-meter 2.0.0', able({ java: '>=17' }));
const mib = 2 ** 20;
const heavy = artifact('heavy 1.0.0', { requires: { artifacts: { svm: '*' }, resources: { memory: '40MiB' } } });

interface Row {
  readonly it: string;
  readonly artifacts: readonly Artifact[];
  readonly asked: ResolveRequest;
  readonly says: string;
}

const rows: Row[] = [
  {
    it: 'a dependency has no build for the platform',
    artifacts: [...svm, ...monitor],
    asked: request('building-monitor ^2', musl),
    says: 'building-monitor ^2 cannot be installed on this gateway: building-monitor 2.1.0 needs svm >=2; svm 2.x needs libc glibc; gateway class linux-arm64-musl has musl. What would fit: building-monitor 1.4.2 with svm 1.2.28.',
  },
  {
    it: 'a name that is nearly right',
    artifacts: [...svm, ...monitor],
    asked: request('bulding-monitor'),
    says: 'bulding-monitor cannot be installed on this gateway: there is no artifact bulding-monitor; did you mean building-monitor? What would fit: building-monitor 2.1.0 with svm 2.1.0.',
  },
  {
    it: 'a name like no other',
    artifacts: svm,
    asked: request('toaster'),
    says: 'toaster cannot be installed on this gateway: there is no artifact toaster.',
  },
  {
    it: 'a dependency nobody published',
    artifacts: [artifact('app 1.0.0', needs({ smv: '*' })), ...svm],
    asked: request('app'),
    says: 'app cannot be installed on this gateway: app 1.0.0 needs smv; there is no artifact smv; did you mean svm?',
  },
  {
    it: 'a range without versions',
    artifacts: svm,
    asked: request('svm >=9'),
    says: 'svm >=9 cannot be installed on this gateway: svm has no version >=9; there are 2.1.0, 2.0.0 and 1.2.28. What would fit: svm 2.1.0.',
  },
  {
    it: 'a range with pre-releases only',
    artifacts: [artifact('svm 3.0.0-beta.1'), artifact('svm 2.0.0')],
    asked: request('svm >=3'),
    says: 'svm >=3 cannot be installed on this gateway: svm has no version >=3 but pre-releases (3.0.0-beta.1), which only a range that names one takes; there is 2.0.0. What would fit: svm 2.0.0; or svm 3.0.0-beta.1 (a pre-release).',
  },
  {
    it: 'only withdrawn versions',
    artifacts: [artifact('a 1.0.0', { withdrawn: 'leaks' }), artifact('a 1.1.0', { withdrawn: 'leaks' })],
    asked: request('a'),
    says: 'a cannot be installed on this gateway: a 1.x was withdrawn (leaks).',
  },
  {
    it: 'builds for other platforms only',
    artifacts: [
      artifact('a 1.0.0', { platform: { os: 'linux', arch: 'x64' } }),
      artifact('a 1.0.0', { platform: { os: 'linux', arch: 'riscv64', libc: 'glibc' } }),
    ],
    asked: request('a'),
    says: 'a cannot be installed on this gateway: a 1.0.0 is built only for linux-riscv64-glibc and linux-x64-any; the gateway class is linux-arm64-glibc.',
  },
  {
    it: 'one build, for another architecture',
    artifacts: [artifact('a 1.0.0', { platform: { os: 'linux', arch: 'x64' } })],
    asked: request('a'),
    says: 'a cannot be installed on this gateway: a 1.0.0 needs arch x64 (built for linux-x64-any); gateway class linux-arm64-glibc has arm64.',
  },
  {
    it: 'a gateway that does not say what it is',
    artifacts: [artifact('a 1.0.0', glibc)],
    asked: request('a', { platform: { os: 'linux' } }),
    says: 'a cannot be installed on this gateway: a 1.0.0 needs libc glibc; gateway class linux names no libc.',
  },
  {
    it: 'a capability nobody has',
    artifacts: [meter],
    asked: request('java-meter'),
    says: 'java-meter cannot be installed on this gateway: java-meter 2.0.0 needs java >=17; the gateway has no java and no artifact provides it.',
  },
  {
    it: 'a capability too old everywhere',
    artifacts: [
      meter,
      artifact('jvm 11.0.2', { provides: { java: '11' } }),
      artifact('java-meter 1.0.0', able({ java: '*' })),
    ],
    asked: request('java-meter ^2', { capabilities: { java: '8' } }),
    says: 'java-meter ^2 cannot be installed on this gateway: java-meter 2.0.0 needs java >=17; the gateway has java 8; jvm 11.0.2 provides java 11. What would fit: java-meter 1.0.0.',
  },
  {
    it: 'a capability whose provider does not fit',
    artifacts: [meter, artifact('jvm 17.0.0', { provides: { java: '17' }, ...glibc })],
    asked: request('java-meter', musl),
    says: 'java-meter cannot be installed on this gateway: java-meter 2.0.0 needs java >=17; the gateway has no java; jvm 17.0.0 would provide it; jvm 17.0.0 needs libc glibc; gateway class linux-arm64-musl has musl.',
  },
  {
    it: 'applications that exclude each other',
    artifacts: [artifact('new 1.0.0', { conflicts: { old: '*' } }), artifact('old 1.0.0'), artifact('old 2.0.0')],
    asked: request(['old', 'new']),
    says: 'old and new cannot be installed together on this gateway: new 1.0.0 conflicts with old. What would fit: without old: new 1.0.0; or without new: old 2.0.0.',
  },
  {
    it: 'versions that exclude each other',
    artifacts: [artifact('new 1.0.0', { conflicts: { old: '<2' } }), artifact('old 1.0.0'), artifact('old 2.0.0')],
    asked: request(['old ^1', 'new']),
    says: 'old ^1 and new cannot be installed together on this gateway: new 1.0.0 conflicts with old <2. What would fit: old 2.0.0.',
  },
  {
    it: 'two applications that need different versions of a third',
    artifacts: [...svm, artifact('a 1.0.0', needs({ svm: '^1' })), artifact('b 1.0.0', needs({ svm: '^2' }))],
    asked: request(['a', 'b', 'svm']),
    says: 'a and b cannot be installed together on this gateway: a 1.0.0 needs svm ^1; b 1.0.0 needs svm ^2. What would fit: without a: b 1.0.0 with svm 2.1.0; or without b: a 1.0.0 with svm 1.2.28.',
  },
  {
    it: 'one application asked for twice',
    artifacts: svm,
    asked: request(['svm ^1', 'svm ^2']),
    says: 'svm ^1 and svm ^2 cannot be installed together on this gateway: svm ^1 is requested; svm ^2 is requested. What would fit: svm 2.1.0.',
  },
  {
    it: 'a circle',
    artifacts: [
      artifact('a 1.0.0', needs({ b: '*' })),
      artifact('b 1.0.0', needs({ c: '*' })),
      artifact('c 1.0.0', needs({ b: '*' })),
    ],
    asked: request('a'),
    says: 'a cannot be installed on this gateway: a 1.0.0 needs b; b 1.0.0 needs c; c 1.0.0 needs b; b 1.0.0 -> c 1.0.0 -> b 1.0.0 is a circle: none of them can be installed first.',
  },
  {
    it: 'a circle that a capability closes',
    artifacts: [
      artifact('a 1.0.0', able({ x: '*' })),
      artifact('p 1.0.0', { provides: { x: '1' }, ...needs({ a: '*' }) }),
    ],
    asked: request('a'),
    says: 'a cannot be installed on this gateway: a 1.0.0 needs x; the gateway has no x; p 1.0.0 would provide it; p 1.0.0 needs a; a 1.0.0 -> p 1.0.0 -> a 1.0.0 is a circle: none of them can be installed first.',
  },
  {
    it: 'too little memory in sum',
    artifacts: [heavy, artifact('svm 1.0.0', { requires: { resources: { memory: '30MiB' } } })],
    asked: request('heavy', { resources: { memory: 64 * mib } }),
    says: 'heavy cannot be installed on this gateway: heavy 1.0.0 needs svm; heavy 1.0.0 (40 MiB) and svm 1.0.0 (30 MiB) need at least 70 MiB of memory together; the gateway has 64 MiB.',
  },
  {
    it: 'a budget nothing could ever keep to',
    artifacts: [artifact('a 1.0.0', { requires: { resources: { memory: '1GiB' } } })],
    asked: request('a', { resources: { memory: 0 } }),
    says: 'a cannot be installed on this gateway: a 1.0.0 needs at least 1 GiB of memory; the gateway has 0 bytes.',
  },
  {
    it: 'memory in sum over several applications',
    artifacts: ['a 64', 'b 32', 'c 1'].map((text) => {
      const [name, memory] = text.split(' ');
      return artifact(`${name} 1.0.0`, { requires: { resources: { memory: `${memory}MiB` } } });
    }),
    asked: request(['a', 'b', 'c'], { resources: { memory: 64 * mib } }),
    says: 'a and b cannot be installed together on this gateway: a 1.0.0 (64 MiB) and b 1.0.0 (32 MiB) need at least 96 MiB of memory together; the gateway has 64 MiB. What would fit: without a: b 1.0.0.',
  },
  {
    it: 'a pinned version that is withdrawn, and installed in another version',
    artifacts: [artifact('a 1.0.0', { withdrawn: 'leaks' }), artifact('a 1.1.0')],
    asked: request('a 1.0.0', { installed: installed('a 1.1.0 requested') }),
    says: 'a 1.0.0 cannot be installed on this gateway: a 1.0.0 was withdrawn (leaks). What would fit: a 1.1.0.',
  },
  {
    it: 'a name in capitals',
    artifacts: svm,
    asked: request('SVM'),
    says: 'SVM cannot be installed on this gateway: there is no artifact SVM; did you mean svm? What would fit: svm 2.1.0.',
  },
  {
    it: 'a range that is none fits nothing, though the schemas should have refused it',
    artifacts: svm,
    asked: request('svm about-2'),
    says: 'svm about-2 cannot be installed on this gateway: svm has no version about-2; there are 2.1.0, 2.0.0 and 1.2.28. What would fit: svm 2.1.0.',
  },
  {
    it: 'too little disk by a hair',
    artifacts: [artifact('a 1.0.0', { unpackedSize: mib }), artifact('a 2.0.0', { unpackedSize: 5 * mib + 1 })],
    asked: request('a ^2', { resources: { disk: 5 * mib } }),
    says: 'a ^2 cannot be installed on this gateway: a 2.0.0 needs at least 5242881 bytes of disk; the gateway has 5242880 bytes free. What would fit: a 1.0.0.',
  },
  {
    it: 'many versions that all fail alike',
    artifacts: Array.from({ length: 9 }, (_, index) =>
      artifact(`a ${index + 1}.0.0`, needs({ svm: `^${index + 5}` })),
    ).concat(svm),
    asked: request('a'),
    says: 'a cannot be installed on this gateway: a 9.0.0 needs svm ^13, a 8.0.0 needs svm ^12, a 7.0.0 needs svm ^11, a 6.0.0 needs svm ^10 and 5 more; svm has no version ^13, ^12, ^11, ^10 and 5 more; there are 2.1.0, 2.0.0 and 1.2.28.',
  },
  {
    it: 'alternatives of which none can be had',
    artifacts: [
      artifact('a 1.0.0', {
        requires: {
          anyOf: [
            [
              { artifact: 'jre', range: '>=17' },
              { artifact: 'jvm', range: '>=21' },
              { artifact: 'glib', range: '^1' },
              { capability: 'java', range: '>=17' },
            ],
          ],
        },
      }),
      artifact('jvm 11.0.0', { provides: { java: '11' } }),
      artifact('glib 1.0.0', glibc),
    ],
    asked: request('a', musl),
    says: 'a cannot be installed on this gateway: a 1.0.0 needs jre >=17 or jvm >=21 or glib ^1 or java >=17; there is no artifact jre; jvm has no version >=21; glib ^1 would be glib 1.0.0; the gateway has no java; jvm 11.0.0 provides java 11; glib 1.0.0 needs libc glibc; gateway class linux-arm64-musl has musl.',
  },
  {
    it: 'an optional dependency that is there in another version',
    artifacts: [...svm, artifact('a 1.0.0', { requires: { optional: { svm: '^1' } } })],
    asked: request(['svm ^2', 'a']),
    says: 'svm ^2 and a cannot be installed together on this gateway: a 1.0.0 works with svm only in ^1. What would fit: svm 1.2.28.',
  },
  {
    it: 'a compatible architecture that does not help',
    artifacts: [artifact('a 1.0.0', { platform: { arch: 'x64' } })],
    asked: request('a', { compatibleArchs: ['arm'] }),
    says: 'a cannot be installed on this gateway: a 1.0.0 needs arch x64; gateway class linux-arm64-glibc has arm64 (and runs arm).',
  },
  {
    it: 'what is there already and unknown here takes part',
    artifacts: [artifact('a 1.0.0', { conflicts: { ghost: '*' } })],
    asked: request(['ghost', 'a'], { installed: installed('ghost 0.3.0 requested') }),
    says: 'ghost and a cannot be installed together on this gateway: a 1.0.0 conflicts with ghost. What would fit: without ghost: a 1.0.0; or without a: ghost 0.3.0.',
  },
];

describe('explanations', () => {
  for (const { it, artifacts, asked, says } of rows) {
    test(it, () => {
      const resolution = resolve(asked, createCatalogue(artifacts, 1));
      if (resolution.outcome !== 'unsatisfiable') assert.fail('there is a plan');
      assert.equal(explanationText(resolution.explanation), says);
    });
  }
});

test('an explanation is data too', () => {
  const resolution = resolve(request('building-monitor ^2', musl), createCatalogue([...svm, ...monitor], 1));
  if (resolution.outcome !== 'unsatisfiable') assert.fail('there is a plan');
  assert.deepEqual(resolution.explanation, {
    summary: 'building-monitor ^2 cannot be installed on this gateway.',
    facts: [
      { kind: 'requested', text: 'building-monitor ^2 is requested', subject: 'building-monitor', object: '^2' },
      { kind: 'requires', text: 'building-monitor 2.1.0 needs svm >=2', subject: 'building-monitor', object: 'svm' },
      { kind: 'platform', text: 'svm 2.x needs libc glibc; gateway class linux-arm64-musl has musl', subject: 'svm' },
    ],
    suggestions: ['building-monitor 1.4.2 with svm 1.2.28'],
  });
});

test('a search that takes too long says so instead of hanging', () => {
  const resolution = resolve(request('building-monitor'), createCatalogue([...svm, ...monitor], 1), { stepLimit: 1 });
  if (resolution.outcome !== 'unsatisfiable') assert.fail('there is a plan');
  assert.deepEqual(resolution.explanation, {
    summary: 'No answer was found for building-monitor.',
    facts: [{ kind: 'limit', text: 'the search was given up after 1 steps; narrower ranges make it shorter' }],
    suggestions: [],
  });
});
