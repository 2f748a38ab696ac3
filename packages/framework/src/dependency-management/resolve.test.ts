import type { Artifact, InstallPlan } from '@leonore/protocol';
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { artifact, installed, randomRepository, request } from './generate.ts';
import { createCatalogue, gatewayClassKey, resolve, type ResolveRequest } from './mod.ts';

const needs = (artifacts: Record<string, string>) => ({ requires: { artifacts } });
const able = (capabilities: Record<string, string>) => ({ requires: { capabilities } });

function planOf(artifacts: readonly Artifact[], asked: ResolveRequest): InstallPlan {
  const resolution = resolve(asked, createCatalogue(artifacts, 1));
  if (resolution.outcome !== 'plan') assert.fail(JSON.stringify(resolution.explanation, null, 2));
  return resolution.plan;
}

/** `install svm 2.1.0`, `update a 2.0.0`, `remove b 1.0.0` in order. */
function actions(artifacts: readonly Artifact[], asked: ResolveRequest): string[] {
  const { steps, remove } = planOf(artifacts, asked);
  return [
    ...steps.map(({ action, name, version }) => `${action} ${name} ${version}`),
    ...remove.map(({ name, version }) => `remove ${name} ${version}`),
  ];
}

const svm = [artifact('svm 1.2.28'), artifact('svm 2.0.0'), artifact('svm 2.1.0')];
const monitor = [
  artifact('building-monitor 1.4.2', needs({ svm: '^1.2.0' })),
  artifact('building-monitor 2.1.0', needs({ svm: '>=2' })),
];

test('a plan names each step in full', () => {
  const before = installed('building-monitor 1.4.2 requested', 'svm 1.2.28', 'left-over 1.0.0');
  const plan = planOf([...svm, ...monitor], request('building-monitor >=2', { installed: before }));
  assert.deepEqual(plan, {
    steps: [
      {
        action: 'update',
        name: 'svm',
        version: '2.1.0',
        platform: {},
        contentSha256: svm[2]?.contentSha256,
        from: '1.2.28',
        requested: false,
        because: 'building-monitor 2.1.0 needs it (>=2)',
        after: [],
      },
      {
        action: 'update',
        name: 'building-monitor',
        version: '2.1.0',
        platform: {},
        contentSha256: monitor[1]?.contentSha256,
        from: '1.4.2',
        requested: true,
        because: 'requested',
        after: ['svm'],
      },
    ],
    remove: [{ name: 'left-over', version: '1.0.0', because: 'nothing needs it any more' }],
  });
});

interface Row {
  readonly it: string;
  readonly artifacts: readonly Artifact[];
  readonly asked: ResolveRequest;
  readonly gets: readonly string[];
}

const linux = (libc?: string) => ({ platform: { os: 'linux', arch: 'arm64', ...(libc ? { libc } : {}) } });

const versions: Row[] = [
  {
    it: 'takes the newest and what it needs, dependencies first',
    artifacts: [...svm, ...monitor],
    asked: request('building-monitor'),
    gets: ['install svm 2.1.0', 'install building-monitor 2.1.0'],
  },
  {
    it: 'goes back to an older version when the newest cannot be had',
    artifacts: [artifact('svm 1.2.28'), ...monitor],
    asked: request('building-monitor'),
    gets: ['install svm 1.2.28', 'install building-monitor 1.4.2'],
  },
  {
    it: 'finds the one version that does not need what cannot be had',
    artifacts: [
      artifact('a 3.0.0', needs({ b: '*' })),
      artifact('a 2.0.0', needs({ b: '*' })),
      artifact('a 1.0.0'),
      artifact('b 1.0.0', { platform: { libc: 'musl' } }),
    ],
    asked: request('a'),
    gets: ['install a 1.0.0'],
  },
  {
    it: 'gives two applications one version that both take',
    artifacts: [...svm, artifact('a 1.0.0', needs({ svm: '*' })), artifact('b 1.0.0', needs({ svm: '<2.1.0' }))],
    asked: request(['a', 'b']),
    gets: ['install svm 2.0.0', 'install a 1.0.0', 'install b 1.0.0'],
  },
  {
    it: 'serves the first application first',
    artifacts: [
      artifact('a 1.0.0'),
      artifact('a 2.0.0', { conflicts: { b: '2.0.0' } }),
      artifact('b 1.0.0'),
      artifact('b 2.0.0'),
    ],
    asked: request(['b', 'a']),
    gets: ['install b 2.0.0', 'install a 1.0.0'],
  },
  {
    it: 'takes a pre-release only where the range names one',
    artifacts: [artifact('a 2.0.0-beta.1'), artifact('a 1.0.0'), artifact('b 2.0.0-beta.1'), artifact('b 1.0.0')],
    asked: request(['a', 'b >=2.0.0-beta']),
    gets: ['install a 1.0.0', 'install b 2.0.0-beta.1'],
  },
  {
    it: 'a pinned version is taken though there are newer ones, under a dependency too',
    artifacts: [...svm, artifact('a 1.0.0', needs({ svm: '2.0.0' }))],
    asked: request('a'),
    gets: ['install svm 2.0.0', 'install a 1.0.0'],
  },
  {
    it: 'a pinned pre-release is taken',
    artifacts: [artifact('a 2.0.0-beta.1'), artifact('a 1.0.0')],
    asked: request('a 2.0.0-beta.1'),
    gets: ['install a 2.0.0-beta.1'],
  },
  {
    it: 'leaves withdrawn versions alone',
    artifacts: [artifact('a 1.0.0'), artifact('a 1.1.0', { withdrawn: 'leaks' })],
    asked: request('a'),
    gets: ['install a 1.0.0'],
  },
  {
    it: 'has nothing to do when nothing is asked for',
    artifacts: svm,
    asked: request([]),
    gets: [],
  },
];

const platforms: Row[] = [
  {
    it: 'takes a version that has a build for the platform',
    artifacts: [artifact('a 1.0.0'), artifact('a 2.0.0', { platform: { libc: 'glibc' } })],
    asked: request('a', linux('musl')),
    gets: ['install a 1.0.0'],
  },
  {
    it: 'a build that names a key does not fit a gateway that does not say',
    artifacts: [artifact('a 1.0.0'), artifact('a 2.0.0', { platform: { libc: 'glibc' } })],
    asked: request('a', linux()),
    gets: ['install a 1.0.0'],
  },
];

const java = [
  artifact('jvm 11.0.0', { provides: { java: '11' } }),
  artifact('jvm 17.0.0', { provides: { java: '17' } }),
];
const meter = artifact('meter 1.0.0', able({ java: '>=11' }));
const capabilities: Row[] = [
  {
    it: 'installs nothing for what the gateway has itself',
    artifacts: [...java, meter],
    asked: request('meter', { capabilities: { java: '17.0.15' } }),
    gets: ['install meter 1.0.0'],
  },
  {
    it: 'a short version counts, and so does one that looks like a pre-release',
    artifacts: [artifact('a 1.0.0', able({ java: '>=1.8', node: '^22' }))],
    asked: request('a', { capabilities: { java: '1.8.0-312', node: '22' } }),
    gets: ['install a 1.0.0'],
  },
  {
    it: 'brings a provider when the gateway has too little',
    artifacts: [...java, meter],
    asked: request('meter', { capabilities: { java: '8' } }),
    gets: ['install jvm 17.0.0', 'install meter 1.0.0'],
  },
  {
    it: 'prefers the provider that is installed',
    artifacts: [...java, artifact('openj9 21.0.0', { provides: { java: '21' } }), meter],
    asked: request('meter', { installed: installed('jvm 11.0.0') }),
    gets: ['keep jvm 11.0.0', 'install meter 1.0.0'],
  },
  {
    it: 'then the one that is requested',
    artifacts: [...java, artifact('openj9 21.0.0', { provides: { java: '21' } }), meter],
    asked: request(['meter', 'jvm <17']),
    gets: ['install jvm 11.0.0', 'install meter 1.0.0'],
  },
  {
    it: 'then the newest of the capability, then by name',
    artifacts: [
      ...java,
      artifact('b-java 1.0.0', { provides: { java: '21' } }),
      artifact('a-java 1.0.0', { provides: { java: '21' } }),
      meter,
    ],
    asked: request('meter'),
    gets: ['install a-java 1.0.0', 'install meter 1.0.0'],
  },
  {
    it: 'uses a provider that something else brings along',
    artifacts: [
      ...java,
      artifact('tool 1.0.0', needs({ jvm: '^11' })),
      artifact('a 1.0.0', { requires: { artifacts: { tool: '*' }, capabilities: { java: '*' } } }),
    ],
    asked: request('a'),
    gets: ['install jvm 11.0.0', 'install tool 1.0.0', 'install a 1.0.0'],
  },
  {
    it: 'even where another provider would be preferred',
    artifacts: [
      ...java,
      artifact('a-java 1.0.0', { provides: { java: '21' } }),
      artifact('tool 1.0.0', needs({ jvm: '^11' })),
      artifact('a 1.0.0', { requires: { artifacts: { tool: '*' }, capabilities: { java: '*' } } }),
    ],
    asked: request('a'),
    gets: ['install jvm 11.0.0', 'install tool 1.0.0', 'install a 1.0.0'],
  },
  {
    it: 'does not take a pre-release for a capability',
    artifacts: [...java, artifact('jvm 21.0.0-ea', { provides: { java: '21' } }), meter],
    asked: request('meter'),
    gets: ['install jvm 17.0.0', 'install meter 1.0.0'],
  },
  {
    it: 'nobody provides for itself',
    artifacts: [...java, artifact('own 1.0.0', { provides: { java: '30' }, ...able({ java: '*' }) })],
    asked: request('own'),
    gets: ['install jvm 17.0.0', 'install own 1.0.0'],
  },
  {
    it: 'names like members of Object are names like others',
    artifacts: [
      artifact('constructor 1.0.0', able({ tostring: '*', constructor: '*' })),
      artifact('p 1.0.0', { provides: { constructor: '1', tostring: '1' } }),
    ],
    asked: request('constructor'),
    gets: ['install p 1.0.0', 'install constructor 1.0.0'],
  },
];

const plain = (label: string) => artifact(label);
const wants = (optional: Record<string, string>) => ({ requires: { optional } });
const either = (...anyOf: { artifact?: string; capability?: string; range?: string }[]) => ({
  requires: { anyOf: [anyOf] },
});
const optional: Row[] = [
  {
    it: 'is taken where it can be had, before the one that can use it',
    artifacts: [plain('x 1.0.0'), plain('x 2.0.0'), artifact('a 1.0.0', wants({ x: '^1' }))],
    asked: request('a'),
    gets: ['install x 1.0.0', 'install a 1.0.0'],
  },
  {
    it: 'brings what it needs itself',
    artifacts: [artifact('x 1.0.0', needs({ y: '*' })), plain('y 1.0.0'), artifact('a 1.0.0', wants({ x: '*' }))],
    asked: request('a'),
    gets: ['install y 1.0.0', 'install x 1.0.0', 'install a 1.0.0'],
  },
  {
    it: 'is left out where nobody published it, it does not fit, or it lacks something',
    artifacts: [
      artifact('x 1.0.0', { platform: { libc: 'musl' } }),
      artifact('y 1.0.0', able({ java: '*' })),
      artifact('a 1.0.0', wants({ x: '*', y: '*', z: '*' })),
    ],
    asked: request('a'),
    gets: ['install a 1.0.0'],
  },
  {
    it: 'never costs a requested or needed thing its newest version',
    artifacts: [
      artifact('a 1.0.0', { requires: { artifacts: { b: '*' }, optional: { x: '*' } } }),
      plain('b 1.0.0'),
      plain('b 2.0.0'),
      plain('c 1.0.0'),
      plain('c 2.0.0'),
      artifact('x 2.0.0', { conflicts: { b: '2.0.0' } }),
      artifact('x 1.0.0', needs({ c: '^1' })),
    ],
    asked: request(['a', 'c']),
    gets: ['install b 2.0.0', 'install a 1.0.0', 'install c 2.0.0'],
  },
  {
    it: 'takes an older one that goes with the rest',
    artifacts: [
      artifact('a 1.0.0', wants({ x: '*' })),
      plain('c 2.0.0'),
      artifact('x 2.0.0', { conflicts: { c: '*' } }),
      plain('x 1.0.0'),
    ],
    asked: request(['a', 'c']),
    gets: ['install x 1.0.0', 'install a 1.0.0', 'install c 2.0.0'],
  },
  {
    it: 'where it is there for another reason its version must be in the range',
    artifacts: [plain('x 1.0.0'), plain('x 2.0.0'), artifact('a 1.0.0', wants({ x: '^1' }))],
    asked: request(['x', 'a ^1'].toReversed()),
    gets: ['install x 1.0.0', 'install a 1.0.0'],
  },
  {
    it: 'the wish of the first application comes first',
    artifacts: [
      artifact('a 1.0.0', wants({ x: '*' })),
      artifact('b 1.0.0', wants({ y: '*' })),
      artifact('x 1.0.0', { conflicts: { y: '*' } }),
      plain('y 1.0.0'),
    ],
    asked: request(['b', 'a']),
    gets: ['install y 1.0.0', 'install b 1.0.0', 'install a 1.0.0'],
  },
  {
    it: 'may need the one that can use it: there the order does not matter',
    artifacts: [artifact('a 1.0.0', wants({ x: '*' })), artifact('x 1.0.0', needs({ a: '*' }))],
    asked: request('a'),
    gets: ['install a 1.0.0', 'install x 1.0.0'],
  },
  {
    it: 'is left out when there is no room for it',
    artifacts: [artifact('a 1.0.0', wants({ x: '*' })), artifact('x 1.0.0', { unpackedSize: 5 })],
    asked: request('a', { resources: { disk: 4 } }),
    gets: ['install a 1.0.0'],
  },
  {
    it: 'stays while somebody can use it, and goes with the last one',
    artifacts: [plain('x 1.0.0'), plain('x 2.0.0'), artifact('a 1.0.0', wants({ x: '*' })), plain('b 1.0.0')],
    asked: request('a', { installed: installed('a 1.0.0 requested', 'x 1.0.0') }),
    gets: ['keep x 1.0.0', 'keep a 1.0.0'],
  },
  {
    it: 'goes with the last one that can use it, after that',
    artifacts: [plain('b 1.0.0'), artifact('c 1.0.0', wants({ b: '*' }))],
    asked: request([], { installed: installed('c 1.0.0 requested', 'b 1.0.0') }),
    gets: ['remove c 1.0.0', 'remove b 1.0.0'],
  },
];
const alternatives: Row[] = [
  {
    it: 'the first that is written is taken',
    artifacts: [plain('x 1.0.0'), plain('y 1.0.0'), artifact('a 1.0.0', either({ artifact: 'y' }, { artifact: 'x' }))],
    asked: request('a'),
    gets: ['install y 1.0.0', 'install a 1.0.0'],
  },
  {
    it: 'the next when the first cannot be had',
    artifacts: [
      artifact('y 1.0.0', { platform: { libc: 'musl' } }),
      plain('x 1.0.0'),
      artifact('a 1.0.0', either({ artifact: 'y' }, { artifact: 'z' }, { artifact: 'x' })),
    ],
    asked: request('a'),
    gets: ['install x 1.0.0', 'install a 1.0.0'],
  },
  {
    it: 'unless another is installed',
    artifacts: [plain('x 1.0.0'), plain('y 1.0.0'), artifact('a 1.0.0', either({ artifact: 'y' }, { artifact: 'x' }))],
    asked: request('a', { installed: installed('x 1.0.0') }),
    gets: ['keep x 1.0.0', 'install a 1.0.0'],
  },
  {
    it: 'or requested',
    artifacts: [plain('x 1.0.0'), plain('y 1.0.0'), artifact('a 1.0.0', either({ artifact: 'y' }, { artifact: 'x' }))],
    asked: request(['a', 'x']),
    gets: ['install x 1.0.0', 'install a 1.0.0'],
  },
  {
    it: 'or comes along with something else',
    artifacts: [
      plain('x 1.0.0'),
      plain('y 1.0.0'),
      artifact('a 1.0.0', either({ artifact: 'y' }, { artifact: 'x' })),
      artifact('b 1.0.0', needs({ x: '*' })),
    ],
    asked: request(['a', 'b']),
    gets: ['install x 1.0.0', 'install a 1.0.0', 'install b 1.0.0'],
  },
  {
    it: 'or the gateway has it',
    artifacts: [...java, artifact('a 1.0.0', either({ artifact: 'jvm' }, { capability: 'java', range: '>=11' }))],
    asked: request('a', { capabilities: { java: '11' } }),
    gets: ['install a 1.0.0'],
  },
  {
    it: 'a capability is met by whoever provides it',
    artifacts: [...java, artifact('a 1.0.0', either({ artifact: 'z' }, { capability: 'java', range: '<17' }))],
    asked: request('a'),
    gets: ['install jvm 11.0.0', 'install a 1.0.0'],
  },
];
const arm = (label: string) => artifact(label, { platform: { os: 'linux', arch: 'arm' } });
const compatible: Row[] = [
  {
    it: 'a build for a compatible architecture fits where it is declared',
    artifacts: [arm('a 2.0.0'), plain('a 1.0.0')],
    asked: request('a', { compatibleArchs: ['arm'] }),
    gets: ['install a 2.0.0'],
  },
  {
    it: 'and not where it is not',
    artifacts: [arm('a 2.0.0'), plain('a 1.0.0')],
    asked: request('a', { compatibleArchs: ['ia32'] }),
    gets: ['install a 1.0.0'],
  },
  {
    it: 'the C library must fit all the same',
    artifacts: [artifact('a 2.0.0', { platform: { arch: 'arm', libc: 'musl' } }), plain('a 1.0.0')],
    asked: request('a', { compatibleArchs: ['arm'] }),
    gets: ['install a 1.0.0'],
  },
];

const ring = [
  artifact('a 1.0.0', needs({ b: '*' })),
  artifact('b 1.0.0'),
  artifact('b 2.0.0', needs({ c: '*' })),
  artifact('c 1.0.0', needs({ a: '*' })),
];
const orders: Row[] = [
  {
    it: 'a cycle is avoided by other versions',
    artifacts: ring,
    asked: request('a'),
    gets: ['install b 1.0.0', 'install a 1.0.0'],
  },
  {
    it: 'a cycle through a capability is avoided by another provider',
    artifacts: [
      artifact('a 1.0.0', able({ x: '*' })),
      artifact('p 1.0.0', { provides: { x: '2' }, ...needs({ a: '*' }) }),
      artifact('q 1.0.0', { provides: { x: '1' } }),
    ],
    asked: request(['a', 'p']),
    gets: ['install q 1.0.0', 'install a 1.0.0', 'install p 1.0.0'],
  },
  {
    it: 'conflicts hold whoever names them, pre-releases included',
    artifacts: [artifact('a 1.0.0'), artifact('a 2.0.0-rc.1', { conflicts: { b: '*' } }), artifact('b 1.0.0')],
    asked: request(['b', 'a >=1.0.0 || 2.0.0-rc.1']),
    gets: ['install b 1.0.0', 'install a 1.0.0'],
  },
];

const present: Row[] = [
  {
    it: 'keeps what still fits',
    artifacts: [...svm, ...monitor],
    asked: request(['building-monitor', 'svm'], {
      installed: installed('building-monitor 1.4.2 requested', 'svm 1.2.28'),
    }),
    gets: ['keep svm 1.2.28', 'keep building-monitor 1.4.2'],
  },
  {
    it: 'takes the newest of everything when upgrading',
    artifacts: [...svm, ...monitor],
    asked: request('building-monitor', {
      installed: installed('building-monitor 1.4.2 requested', 'svm 1.2.28'),
      upgrade: true,
    }),
    gets: ['update svm 2.1.0', 'update building-monitor 2.1.0'],
  },
  {
    it: 'keeps a dependency that fits under a new application',
    artifacts: [...svm, artifact('a 1.0.0', needs({ svm: '>=2' }))],
    asked: request('a', { installed: installed('svm 2.0.0') }),
    gets: ['keep svm 2.0.0', 'install a 1.0.0'],
  },
  {
    it: 'goes down when the range says so',
    artifacts: svm,
    asked: request('svm ^1', { installed: installed('svm 2.0.0 requested') }),
    gets: ['update svm 1.2.28'],
  },
  {
    it: 'keeps a withdrawn version that is there, and leaves it when upgrading',
    artifacts: [artifact('a 1.0.0'), artifact('a 2.0.0', { withdrawn: 'leaks' })],
    asked: request('a', { installed: installed('a 2.0.0 requested') }),
    gets: ['keep a 2.0.0'],
  },
  {
    it: 'an upgrade leaves a withdrawn version',
    artifacts: [artifact('a 1.0.0'), artifact('a 2.0.0', { withdrawn: 'leaks' })],
    asked: request('a', { installed: installed('a 2.0.0 requested'), upgrade: true }),
    gets: ['update a 1.0.0'],
  },
  {
    it: 'keeps a version the repository does not know',
    artifacts: [artifact('a 1.0.0')],
    asked: request(['a', 'b'], { installed: installed('a 1.5.0 requested', 'b 1.0.0 requested') }),
    gets: ['keep a 1.5.0', 'keep b 1.0.0'],
  },
  {
    it: 'removes what nobody needs or asks for any more, what needs others first',
    artifacts: [
      ...svm,
      ...monitor,
      artifact('z 1.0.0', able({ v: '*' })),
      artifact('v 1.0.0', { provides: { v: '1' } }),
    ],
    asked: request([], {
      installed: installed('building-monitor 2.1.0 requested', 'svm 2.1.0', 'v 1.0.0', 'z 1.0.0 requested'),
    }),
    gets: ['remove building-monitor 2.1.0', 'remove svm 2.1.0', 'remove z 1.0.0', 'remove v 1.0.0'],
  },
  {
    it: 'a dependency that is now asked for stays',
    artifacts: svm,
    asked: request('svm', { installed: installed('building-monitor 2.1.0 requested', 'svm 2.0.0') }),
    gets: ['keep svm 2.0.0', 'remove building-monitor 2.1.0'],
  },
];

const mib = 2 ** 20;
const sized = [1, 2, 3].map((major) =>
  artifact(`a ${major}.0.0`, { requires: { resources: { memory: major * mib } }, unpackedSize: major * mib }),
);
const budgets: Row[] = [
  {
    it: 'takes the newest version that fits into the memory',
    artifacts: sized,
    asked: request('a', { resources: { memory: 2 * mib } }),
    gets: ['install a 2.0.0'],
  },
  {
    it: 'counts the memory of what is there too',
    artifacts: [...sized, artifact('b 1.0.0', { requires: { resources: { memory: '1MiB' } } })],
    asked: request(['b', 'a'], { resources: { memory: 2 * mib }, installed: installed('b 1.0.0 requested') }),
    gets: ['keep b 1.0.0', 'install a 1.0.0'],
  },
  {
    it: 'counts disk only for what comes new',
    artifacts: sized,
    asked: request('a', { resources: { disk: 0 }, installed: installed('a 2.0.0 requested') }),
    gets: ['keep a 2.0.0'],
  },
  {
    it: 'an upgrade needs room for the new version beside the old one',
    artifacts: sized,
    asked: request('a', { resources: { disk: 2 * mib }, installed: installed('a 1.0.0 requested'), upgrade: true }),
    gets: ['update a 2.0.0'],
  },
];

for (const [topic, rows] of Object.entries({
  versions,
  platforms,
  compatible,
  capabilities,
  optional,
  alternatives,
  orders,
  present,
  budgets,
})) {
  describe(topic, () => {
    for (const { it, artifacts, asked, gets } of rows) {
      test(it, () => assert.deepEqual(actions(artifacts, asked), gets));
    }
  });
}

test('of several builds that fit the most specific is taken', () => {
  const builds = [
    artifact('a 1.0.0'),
    artifact('a 1.0.0', { platform: { os: 'linux' } }),
    artifact('a 1.0.0', { platform: { os: 'linux', arch: 'arm64' } }),
    artifact('a 1.0.0', { platform: { os: 'linux', arch: 'x64', libc: 'glibc' } }),
  ];
  const [step] = planOf(builds, request('a')).steps;
  assert.deepEqual(step?.platform, { os: 'linux', arch: 'arm64' });
  assert.ok(step);
  assert.equal(createCatalogue(builds, 1).find(step), builds[2]);
});

test('a build for the own architecture goes before one for a compatible one, those in the order declared', () => {
  const at = (arch: string, rest: object = {}) => artifact('a 1.0.0', { platform: { os: 'linux', arch, ...rest } });
  const archOf = (builds: readonly Artifact[], compatibleArchs: string[]) =>
    planOf(builds, request('a', { compatibleArchs })).steps[0]?.platform.arch;
  assert.equal(archOf([at('arm', { libc: 'glibc' }), at('arm64')], ['arm']), 'arm64');
  assert.equal(archOf([at('arm'), artifact('a 1.0.0')], ['arm']), undefined);
  assert.equal(archOf([at('arm'), at('armv6')], ['armv6', 'arm']), 'armv6');
  assert.equal(archOf([at('arm'), at('armv6')], ['arm', 'armv6']), 'arm');
});

test('every reason for a shared dependency is told', () => {
  const artifacts = [...java, meter, artifact('tool 1.0.0', needs({ jvm: '>=11' }))];
  const [jvm] = planOf(artifacts, request(['meter', 'tool'])).steps;
  assert.equal(jvm?.because, 'meter 1.0.0 needs java (>=11), tool 1.0.0 needs it (>=11)');
});

test('the class key tells requests apart that may have different answers, and no others', () => {
  const one = request(['a', 'b'], { capabilities: { x: '1', y: '2' }, installed: installed('c 1.0.0', 'd 1.0.0') });
  const key = gatewayClassKey(one);
  assert.match(key, /^[0-9a-f]{64}$/);
  assert.equal(
    gatewayClassKey({ ...one, capabilities: { y: '2', x: '1' }, installed: one.installed.toReversed() }),
    key,
  );
  const others = [
    { ...one, applications: one.applications.toReversed() },
    { ...one, capabilities: { x: '1' } },
    { ...one, platform: {} },
    { ...one, upgrade: true },
    { ...one, resources: { memory: 1 } },
    { ...one, compatibleArchs: ['arm'] },
    { ...one, compatibleArchs: ['arm', 'ia32'] },
    { ...one, installed: installed('c 1.0.0', 'd 1.0.0 requested') },
  ].map((other) => gatewayClassKey(other));
  assert.equal(new Set([key, ...others]).size, others.length + 1);
  const [less, more] = [1, 2].map((disk) => gatewayClassKey({ ...one, resources: { disk } }));
  assert.equal(less, more);
});

describe('does not blow up', () => {
  for (const narrow of [0.3, 0.4, 0.5, 1]) {
    for (const seed of [1, 2, 3]) {
      test(`on 30 components of 8 versions, narrow ${narrow}, seed ${seed}`, () => {
        const shape = { seed, components: 30, versions: 8, needs: 3, narrow, conflicts: 0.1 };
        const catalogue = createCatalogue(randomRepository(shape), 1);
        const resolution = resolve(request(['c0', 'c1', 'c2']), catalogue, { stepLimit: 200_000 });
        if (resolution.outcome === 'unsatisfiable') {
          assert.ok(resolution.explanation.facts.every(({ kind }) => kind !== 'limit'));
        }
      });
    }
  }

  test('when every version of a long chain takes memory', () => {
    const chain = Array.from({ length: 30 }, (_, index) =>
      Array.from({ length: 8 }, (_, version) =>
        artifact(`c${index} ${version + 1}.0.0`, {
          requires: {
            artifacts: index < 29 ? { [`c${index + 1}`]: '*' } : {},
            resources: { memory: 100 + ((index * 7 + version * 13) % 50) },
          },
        }),
      ),
    ).flat();
    for (const memory of [2900, 3050, 3200, 3600]) {
      const asked = request('c0', { resources: { memory } });
      const resolution = resolve(asked, createCatalogue(chain, 1), { stepLimit: 500_000 });
      if (resolution.outcome === 'plan') continue;
      assert.ok(resolution.explanation.facts.some(({ kind }) => kind === 'resource'));
    }
  });

  test('when every version of a long chain closes a circle', () => {
    const circle = Array.from({ length: 30 }, (_, index) =>
      Array.from({ length: 8 }, (_, version) =>
        artifact(`c${index} ${version + 1}.0.0`, needs({ [`c${(index + 1) % 30}`]: '*' })),
      ),
    ).flat();
    const resolution = resolve(request('c0'), createCatalogue(circle, 1), { stepLimit: 500_000 });
    assert.equal(resolution.outcome, 'unsatisfiable');
    if (resolution.outcome === 'unsatisfiable') assert.equal(resolution.explanation.facts.at(-1)?.kind, 'cycle');
  });
});
