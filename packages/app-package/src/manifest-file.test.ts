import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isLeonoreError } from '@leonore/protocol';
import { parseManifest } from './mod.ts';

const HEAD = 'name: svm\nversion: 1.0.0\n';

function faultsOf(text: string): string[] {
  try {
    parseManifest(text, 'svm/leonore.yaml');
  } catch (error) {
    assert.ok(isLeonoreError(error, 'manifest.invalid'), String(error));
    const faults = error.details['faults'];
    assert.ok(Array.isArray(faults) && faults.length > 0);
    const lines = error.message.split('\n').map((line) => line.trim());
    const told = lines.length === 1 ? lines : lines.slice(1);
    assert.equal(told.length, faults.length);
    if (lines.length > 1) assert.equal(lines[0], `svm/leonore.yaml has ${faults.length} faults:`);
    return told.map((line) => line.replace(/^svm\/leonore\.yaml:/, ''));
  }
  return assert.fail(`taken: ${text}`);
}

describe('parseManifest', () => {
  it('reads everything a manifest may have', () => {
    const manifest = parseManifest(
      `# a comment
name: sedona-vm
version: 1.2.28                 # semver
description: Sedona virtual machine
platform: { os: linux, arch: arm64, libc: glibc }
installPath: /opt/sedona-vm
requires:
  artifacts:    { libmodbus: ^3.1.0 }
  optional:     { sedona-ui: ^2 }
  anyOf:
    - [{ artifact: jvm, range: ">=17" }, { capability: java, range: ">=17" }]
  capabilities: { java: ">=8" }
  resources:    { memory: 64MiB, disk: 20MiB }
provides:     { sedona: 1.2.28 }
conflicts:    { old-sedona: "*" }
run: { restart: always }
`,
      'leonore.yaml',
    );
    assert.deepEqual(manifest, {
      name: 'sedona-vm',
      version: '1.2.28',
      description: 'Sedona virtual machine',
      platform: { os: 'linux', arch: 'arm64', libc: 'glibc' },
      installPath: '/opt/sedona-vm',
      requires: {
        artifacts: { libmodbus: '^3.1.0' },
        optional: { 'sedona-ui': '^2' },
        anyOf: [
          [
            { artifact: 'jvm', range: '>=17' },
            { capability: 'java', range: '>=17' },
          ],
        ],
        capabilities: { java: '>=8' },
        resources: { memory: 67_108_864, disk: 20_971_520 },
      },
      provides: { sedona: '1.2.28' },
      conflicts: { 'old-sedona': '*' },
      run: { restart: 'always', healthTimeoutSeconds: 30, healthIntervalSeconds: 30, stopTimeoutSeconds: 10, env: {} },
    });
  });

  it('reads the shortest, with Windows line ends, a byte order mark, anchors', () => {
    const shortest = parseManifest(HEAD, 'x');
    assert.deepEqual(parseManifest(HEAD.replaceAll('\n', '\r\n'), 'x'), shortest);
    assert.deepEqual(parseManifest(`\uFEFF${HEAD}`, 'x'), shortest);
    const anchored = parseManifest(`${HEAD}provides: &p { java: "17" }\nrequires: { capabilities: *p }\n`, 'x');
    assert.deepEqual(anchored.requires.capabilities, { java: '17' });
  });

  const cases: [title: string, text: string, faults: (string | RegExp)[]][] = [
    ['an empty file', '', ['1:1: the manifest is empty; it has keys with values, at least name and version']],
    ['only comments', '# soon\n', [/the manifest is empty/]],
    ['a list', '- svm\n', ['1:1: the manifest is a list; it has keys with values, at least name and version']],
    ['a text', 'svm', [/the manifest is "svm"/]],
    ['a missing key', 'name: svm\n', ['1:1: version: is missing; write for example version: 1.2.28']],
    ['a bad name', 'version: 1.0.0\nname: My App\n', [/^2:7: name: a name is made of a-z.* \(found "My App"\)$/]],
    [
      'a version that YAML takes for a number',
      'name: svm\nversion: 1.10\n',
      ['2:10: version: must be a text, but YAML reads 1.10 as a number; write it like version: 1.2.28'],
    ],
    [
      'a version with a v',
      'name: svm\nversion: v1.0.0\n',
      [/^2:10: version: a version is MAJOR\.MINOR\.PATCH.*\(found "v1\.0\.0"\)$/],
    ],
    [
      'a capability that YAML takes for a number',
      `${HEAD}provides: { java: 17 }\n`,
      ['3:19: provides.java: must be a text, but YAML reads 17 as a number; write it in quotes: java: "17"'],
    ],
    [
      'a misspelt key',
      `${HEAD}platfrom: { os: linux }\n`,
      [
        /^3:1: platfrom: is unknown; do you mean "platform"\? the keys of a manifest are name, version, kind, image, description, platform, installPath, requires, provides, conflicts, run$/,
      ],
    ],
    [
      'an unknown key further in',
      `${HEAD}platform:\n  os: linux\n  cpu: arm\n`,
      ['5:3: platform.cpu: is unknown; the keys of "platform" are os, arch, libc'],
    ],
    [
      'needing itself in every way there is',
      `${HEAD}requires:\n  optional: { svm: "*" }\n  anyOf: [[{ artifact: svm }, { capability: x }]]\n`,
      [
        '4:20: requires.optional.svm: svm cannot require itself (found "*")',
        '5:24: requires.anyOf.0.0.artifact: svm cannot require itself (found "svm")',
      ],
    ],
    [
      'optional and required at once',
      `${HEAD}requires: { artifacts: { lib: "*" }, optional: { lib: "*" } }\n`,
      [/requires\.optional\.lib: lib is required under "artifacts" already; it cannot be optional too/],
    ],
    [
      'a broken range of what is optional',
      `${HEAD}requires: { optional: { lib: about 3 } }\n`,
      ['3:30: requires.optional.lib: a range reads like ^1.2.0, >=2 <4, 1.x or * (found "about 3")'],
    ],
    [
      'a choice that is none',
      `${HEAD}requires: { anyOf: [[{ artifact: lib }], []] }\n`,
      [
        /requires\.anyOf\.0: a choice has 2 to 16 alternatives; what has only one stands under "artifacts" or "capabilities"/,
        /requires\.anyOf\.1: a choice has 2 to 16 alternatives/,
      ],
    ],
    [
      'alternatives not in lists',
      `${HEAD}requires: { anyOf: [{ artifact: lib }, { artifact: other }] }\n`,
      [/requires\.anyOf\.0: must be a list/, /requires\.anyOf\.1: must be a list/],
    ],
    [
      'an alternative that names nothing, both, or what it should not',
      `${HEAD}requires:\n  anyOf:\n    - [{ range: "*" }, { artifact: a, capability: b }]\n    - [{ artefact: a }, { artifact: a }]\n`,
      [
        /^5:8: requires\.anyOf\.0\.0: an alternative names either an artifact or a capability/,
        /^5:24: requires\.anyOf\.0\.1: an alternative names either an artifact or a capability/,
        /^6:8: requires\.anyOf\.1\.0: an alternative names either an artifact or a capability/,
        /^6:10: requires\.anyOf\.1\.0\.artefact: is unknown; do you mean "artifact"\?/,
      ],
    ],
    [
      'names that differ by case',
      `${HEAD}requires: { artifacts: { Lib: "*" } }\n`,
      [/^3:26: requires\.artifacts\.Lib: cannot be a key here: .*a-z/],
    ],
    [
      'unknown keys of requires and run',
      `${HEAD}requires: { artefacts: {} }\nrun: { retsart: always }\n`,
      [
        /^3:13: requires\.artefacts: is unknown; do you mean "artifacts"\?/,
        /^4:8: run\.retsart: is unknown; do you mean "restart"\?/,
      ],
    ],
    [
      'an unknown resource',
      `${HEAD}requires: { resources: { cpu: 1 } }\n`,
      ['3:26: requires.resources.cpu: is unknown; the keys of "requires.resources" are memory, disk'],
    ],
    ['a key with the name of a prototype', `${HEAD}__proto__: { x: 1 }\n`, [/^3:1: __proto__: is unknown/]],
    [
      'a range nobody understands',
      `${HEAD}requires:\n  artifacts:\n    lib: about 3\n`,
      ['5:10: requires.artifacts.lib: a range reads like ^1.2.0, >=2 <4, 1.x or * (found "about 3")'],
    ],
    [
      'a bad name as key',
      `${HEAD}conflicts: { "Old App": "*" }\n`,
      [/^3:14: conflicts\.Old App: cannot be a key here: a name is made of/],
    ],
    [
      'a requirement of itself',
      `${HEAD}requires: { artifacts: { svm: "*" } }\n`,
      ['3:31: requires.artifacts.svm: svm cannot require itself (found "*")'],
    ],
    [
      'an amount with an unknown unit',
      `${HEAD}requires: { resources: { memory: 64 megs } }\n`,
      ['3:34: requires.resources.memory: "64 megs" is no amount of bytes; write it like 64MiB, 20kB or 1048576'],
    ],
    [
      'an amount that is a list',
      `${HEAD}requires: { resources: { memory: [64] } }\n`,
      [/^3:34: requires\.resources\.memory: must be a number of bytes/],
    ],
    [
      'a key without a value',
      `${HEAD}run:\n`,
      ['3:1: run: has no value; give it keys with values, or take the line out'],
    ],
    ['a text where keys belong', `${HEAD}run: always\n`, ['3:6: run: must be keys with values, not "always"']],
    [
      'a list where keys belong',
      `${HEAD}requires:\n  - java\n`,
      ['4:3: requires: must be keys with values, not a list'],
    ],
    [
      'a choice that is none',
      `${HEAD}run: { restart: sometimes }\n`,
      ['3:17: run.restart: must be always, on-failure or never, not "sometimes"'],
    ],
    [
      'a number that is too small',
      `${HEAD}run: { stopTimeoutSeconds: 0 }\n`,
      ['3:28: run.stopTimeoutSeconds: must be at least 1, not 0'],
    ],
    [
      'a number that is too large',
      `${HEAD}run: { stopTimeoutSeconds: 100000 }\n`,
      ['3:28: run.stopTimeoutSeconds: must be at most 86400, not 100000'],
    ],
    [
      'a fraction',
      `${HEAD}run: { stopTimeoutSeconds: 1.5 }\n`,
      ['3:28: run.stopTimeoutSeconds: must be a whole number, not 1.5'],
    ],
    [
      'a bad variable',
      `${HEAD}run: { env: { "MY VAR": x } }\n`,
      [/^3:15: run\.env\.MY VAR: is no name of an environment variable/],
    ],
    [
      'a variable that is true',
      `${HEAD}run: { env: { DEBUG: true } }\n`,
      ['3:22: run.env.DEBUG: must be a text, but YAML reads true as a boolean; write it in quotes: DEBUG: "true"'],
    ],
    [
      'a limit that is too small to start with',
      `${HEAD}run: { limits: { memory: 64kB } }\n`,
      [/^3:26: run\.limits\.memory: a limit of memory is at least 1MiB \(found "64kB"\)$/],
    ],
    [
      'no processor at all',
      `${HEAD}run: { limits: { cpu: 0 } }\n`,
      ['3:23: run.limits.cpu: must be at least 0.01, not 0'],
    ],
    [
      'a limit that is misspelt',
      `${HEAD}run: { limits: { memroy: 64MiB } }\n`,
      [
        /^3:18: run\.limits\.memroy: is unknown; do you mean "memory"\? the keys of "run\.limits" are cpu, memory, processes$/,
      ],
    ],
    [
      'a port that is none',
      `${HEAD}run: { health: { tcp: { port: 70000 } } }\n`,
      [/^3:31: run\.health\.tcp\.port: must be at most 65535, not 70000$/],
    ],
    [
      'a path without its slash',
      `${HEAD}run: { health: { http: { port: 80, path: health } } }\n`,
      [/^3:42: run\.health\.http\.path: a path begins with "\/"/],
    ],
    [
      'an executor that nobody knows',
      `${HEAD}run: { executor: docker }\n`,
      ['3:18: run.executor: must be process, systemd or oci, not "docker"'],
    ],
    [
      'an OCI application without a root file system',
      `${HEAD}run: { executor: oci }\n`,
      [/^3:18: run\.executor: executor: oci needs a root file system; write oci: \{ rootfs: rootfs\.tar \} as well/],
    ],
    [
      'a root file system for nobody',
      `${HEAD}run: { oci: { rootfs: rootfs.tar } }\n`,
      [/^3:13: run\.oci: is for executor: oci only/],
    ],
    [
      'a root file system from elsewhere',
      `${HEAD}run: { executor: oci, oci: { rootfs: ../x.tar } }\n`,
      [/^3:38: run\.oci\.rootfs: the name of a tar in binary\//],
    ],
    ['a relative path', `${HEAD}installPath: opt/svm\n`, [/^3:14: installPath: .* \(found "opt\/svm"\)$/]],
    [
      'a path that leads up',
      `${HEAD}installPath: /opt/../etc\n`,
      [/^3:14: installPath: .*without "\." or "\.\." parts/],
    ],
    [
      'a description of a novel',
      `${HEAD}description: ${'x'.repeat(1001)}\n`,
      ['3:14: description: must have at most 1000 characters'],
    ],
    ['a key twice', 'name: a\nname: b\nversion: 1.0.0\n', ['2:1: name: is there already; keep one of them']],
    ['a tab', 'name: a\nrequires:\n\tartifacts: {}\n', [/^3:1: is indented with a tab; YAML takes spaces only$/]],
    ['an open bracket', `${HEAD}platform: { os: linux\n`, [/^\d+:\d+: is not YAML: /]],
    ['an open quote', 'name: "svm\nversion: 1.0.0\n', [/^\d+:\d+: is not YAML: Missing closing "quote/]],
    ['wrong indentation', 'name: svm\n  version: 1.0.0\n', [/^1:7: is not YAML: /]],
    ['two documents', `${HEAD}---\n${HEAD}`, ['3:1: begins a second document ("---"); a manifest is one']],
    [
      'a star without quotes',
      `${HEAD}requires: { artifacts: { lib: *x } }\n`,
      [/^3:31: \*x refers to an anchor that is not there/],
    ],
    ['a tag', `${HEAD}description: !shout x\n`, [/^3:14: is not YAML: Unresolved tag: !shout/]],
    ['a list as key', `${HEAD}? [a]\n: b\n`, ['3:3: has a key that is no text']],
    [
      'a bomb of aliases',
      `a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c,*c]\n${HEAD}`,
      [/^1:1: cannot be read: Excessive alias count/],
    ],
    ['a file of a megabyte', 'x'.repeat(2 ** 20), ['1:1: has more than 262144 characters, which is no manifest']],
    ['brackets without end', '['.repeat(100_000), [/is not YAML/, /is not YAML/]],
    [
      'many faults, in their order in the file',
      'name: A\nversion: 1.0\nplatform: { os: Linux }\nrun: { restart: no }\nrequires: { artifacts: { lib: x y } }\nfoo: 1\n',
      [
        /^1:7: name:/,
        /^2:10: version:/,
        /^3:17: platform\.os:/,
        /^4:17: run\.restart:/,
        /^5:31: requires\.artifacts\.lib:/,
        /^6:1: foo:/,
      ],
    ],
  ];
  for (const [title, text, expected] of cases) {
    it(`tells of ${title}`, () => {
      const told = faultsOf(text);
      assert.equal(told.length, expected.length, told.join('\n'));
      for (const [index, words] of expected.entries()) {
        if (typeof words === 'string') assert.equal(told[index], words);
        else assert.match(told[index] ?? '', words);
      }
    });
  }
});
