import assert from 'node:assert/strict';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type FakeNode, startFakeNode } from '@leonore/client/testing';
import {
  type Artifact,
  type ArtifactUsage,
  artifactManifestSchema,
  artifactNameSchema,
  sha256Schema,
} from '@leonore/protocol';
import { parse as parseYaml } from 'yaml';
import { type CliHome, createCliHome } from '../testing/run-cli.ts';

describe('leonore: artifacts', { timeout: 120_000 }, () => {
  let node: FakeNode;
  let home: CliHome;
  let run: CliHome['run'];
  before(async () => {
    node = await startFakeNode();
    home = await createCliHome({ LEONORE_URL: node.url, LEONORE_TOKEN: node.token });
    run = home.run;
  });
  after(async () => {
    await node[Symbol.asyncDispose]();
    await home[Symbol.asyncDispose]();
  });

  it('init makes an artifact and never overwrites one', async () => {
    await using own = await createCliHome();
    assert.equal((await own.run(['artifact', 'init', 'My App'])).code, 0);
    const manifest = parseYaml(await readFile(join(own.folder, 'My App/leonore.yaml'), 'utf8'));
    assert.equal(artifactManifestSchema.parse(manifest).name, 'my-app');
    assert.equal((await stat(join(own.folder, 'My App/control/start'))).mode & 0o111, 0o111);
    await writeFile(join(own.folder, 'My App/leonore.yaml'), 'mine');
    assert.equal((await own.run(['artifact', 'init', 'My App'])).code, 2);
    assert.equal(await readFile(join(own.folder, 'My App/leonore.yaml'), 'utf8'), 'mine');
  });

  it('init makes an image of a file, which it copies', async () => {
    await using own = await createCliHome();
    await writeFile(join(own.folder, 'press-4.2.swu'), 'firmware');
    const made = await own.run(['artifact', 'init', 'press-os', '--image', 'press-4.2.swu']);
    assert.equal(made.code, 0, made.stderr);
    const text = await readFile(join(own.folder, 'press-os/leonore.yaml'), 'utf8');
    assert.deepEqual(artifactManifestSchema.parse(parseYaml(text)).kind, 'image');
    assert.equal(await readFile(join(own.folder, 'press-os/image/press-4.2.swu'), 'utf8'), 'firmware');
    const packed = await own.run(['artifact', 'pack', 'press-os', '-o', 'json']);
    assert.equal(JSON.parse(packed.stdout).segments[0].encoding, 'raw');
    assert.match((await own.run(['artifact', 'init', 'other', '--image', 'none.swu'])).stderr, /none\.swu is no file/);
    assert.equal((await own.run(['artifact', 'init', 'press-os', '--image', 'press-4.2.swu'])).code, 2);
  });

  it('shows and withdraws a version', async () => {
    node.artifacts.push({
      manifest: artifactManifestSchema.parse({
        name: 'svm',
        version: '1.2.28',
        description: 'a machine',
        requires: { resources: { memory: '2MiB' } },
      }),
      contentSha256: sha256Schema.parse('a'.repeat(64)),
      unpackedSize: 120_000,
      fileCount: 2,
      segments: [{ encoding: 'gzip', sha256: sha256Schema.parse('b'.repeat(64)), size: 118_000 }],
      publishedAt: 1_700_000_000_000,
    });
    assert.match(
      (await run(['artifact', 'show', 'svm@1.2.28'])).stdout,
      /^artifact +svm 1\.2\.28$[\s\S]*^memory +2\.0 MiB$/m,
    );
    assert.equal((await run(['artifact', 'list', '-o', 'name'])).stdout, 'svm@1.2.28\n');
    node.usage = USAGE;
    const said =
      'svm 1.2.28: 14 gateways run it: gw-1, gw-2, ...; 1 running rollout asks for it; building-monitor 1.4.2 needs it\n';
    const refused = await run(['artifact', 'withdraw', 'svm@1.2.28', '--reason', 'broken']);
    assert.equal(refused.code, 2);
    assert.ok(refused.stderr.startsWith(said), refused.stderr);
    assert.equal(node.artifacts[0]?.withdrawnAt, undefined);
    const withdrawn = await run(['artifact', 'withdraw', 'svm@1.2.28', '--reason', 'broken', '-y']);
    assert.deepEqual(
      [withdrawn.code, withdrawn.stdout, withdrawn.stderr],
      [0, '', `${said}withdrew svm 1.2.28 (1 build)\n`],
    );
    assert.match((await run(['artifact', 'list'])).stdout, /withdrawn: broken/);
    node.artifacts.length = 0;
    node.usage = NO_USAGE;
  });

  it('shows who runs and who needs it', async () => {
    node.artifacts.push(published('svm', '1.2.28'));
    const unused = await run(['artifact', 'usage', 'svm']);
    assert.match(unused.stdout, /^gateways +0$[\s\S]*^nothing that is published needs it$/m);
    node.usage = USAGE;
    const { stdout } = await run(['artifact', 'usage', 'svm@<1.3', '--transitive']);
    assert.deepEqual(
      stdout.split('\n').map((line) => line.split(/ {2,}/)),
      [
        ['artifact', 'svm <1.3'],
        ['gateways', '14'],
        ['for example', 'gw-1 (1.2.28), gw-2 (1.2.27)'],
        ['rollouts', '1 running one'],
        [''],
        ['VERSION', 'GATEWAYS', 'STATE'],
        ['1.2.28', '13', 'published'],
        ['1.2.27', '1', 'withdrawn'],
        [''],
        ['NEEDED BY', 'PLATFORM', 'NEEDS', 'BY WAY OF', 'STATE'],
        ['building-monitor 1.4.2', 'linux-arm64-any', 'svm ^1.2.0', '-', 'published'],
        ['wall 1.0.0', 'any-any-any', 'building-monitor', 'building-monitor 1.4.2', 'withdrawn'],
        [''],
      ],
    );
    assert.equal((await run(['artifact', 'usage', 'svm', '-o', 'name'])).stdout, 'svm@1.2.28\nsvm@1.2.27\n');
    const json = JSON.parse((await run(['artifact', 'usage', 'svm@1.2.28', '-o', 'json'])).stdout);
    assert.deepEqual(json, { name: 'svm', range: '1.2.28', ...USAGE });
    assert.equal((await run(['artifact', 'usage', 'nobody'])).code, 3);
    assert.equal((await run(['artifact', 'usage', 'svm@not a range'])).code, 2);
    node.artifacts.length = 0;
    node.usage = NO_USAGE;
  });

  it('shows what a version needs as a tree, of the newest release when none is named', async () => {
    node.artifacts.push(published('app', '2.0.0-rc.1'), published('app', '1.0.0'));
    assert.equal((await run(['artifact', 'tree', 'app@2.0.0-rc.1'])).stdout, 'app 2.0.0-rc.1 needs nothing\n');
    const need = (text: string, kind: 'artifact' | 'capability', name: string, range: string) => {
      return { text, alternatives: [{ kind, name, range }], optional: false };
    };
    const modbus = need('modbus ^3', 'artifact', 'modbus', '^3');
    node.needs = [
      {
        ...need('svm ^1', 'artifact', 'svm', '^1'),
        candidates: [
          {
            name: 'svm',
            versions: ['1.2.28', '1.2.27'],
            needs: [{ ...modbus, candidates: [{ name: 'modbus', versions: ['3.0.0'], mark: 'cycle', needs: [] }] }],
          },
        ],
      },
      { ...modbus, platforms: ['linux-x64-any'], candidates: [] },
      {
        ...need('capability java >=11', 'capability', 'java', '>=11'),
        candidates: [
          { name: 'jdk', versions: ['11.0.0'], mark: 'again', needs: [] },
          { name: 'jre', versions: ['17.0.0'], needs: [] },
        ],
      },
      { ...need('capability gpio', 'capability', 'gpio', '*'), candidates: [] },
      { ...need('optional lcd', 'artifact', 'lcd', '*'), optional: true, candidates: [] },
    ];
    assert.deepEqual((await run(['artifact', 'tree', 'app'])).stdout.split('\n'), [
      'app 1.0.0',
      '├─ svm ^1: svm 1.2.28, or 1.2.27',
      '│  └─ modbus ^3: modbus 3.0.0 (a cycle: it stands above)',
      '├─ modbus ^3 (only linux-x64-any): no version that would do is offered',
      '├─ capability java >=11: the gateway itself, or',
      '│  ├─ jdk 11.0.0 (see above)',
      '│  └─ jre 17.0.0',
      '├─ capability gpio: the gateway itself; no artifact provides it',
      '└─ optional lcd: no version that would do is offered',
      '',
    ]);
    assert.equal(
      (await run(['artifact', 'tree', 'app', '-o', 'name'])).stdout,
      'app@1.0.0\nsvm@1.2.28\nmodbus@3.0.0\njdk@11.0.0\njre@17.0.0\n',
    );
    assert.equal((await run(['artifact', 'tree', 'app@9.9.9'])).code, 3);
    node.artifacts.length = 0;
    node.needs = [];
  });
});

const NO_USAGE = { gateways: 0, versions: [], examples: [], rollouts: 0, dependents: [], moreDependents: 0 };
const USAGE: Omit<ArtifactUsage, 'name' | 'range'> = {
  gateways: 14,
  versions: [
    { version: '1.2.28', gateways: 13, state: 'published' },
    { version: '1.2.27', gateways: 1, state: 'withdrawn' },
  ],
  examples: [
    { id: 'gw-1', version: '1.2.28' },
    { id: 'gw-2', version: '1.2.27' },
  ],
  rollouts: 1,
  dependents: [
    {
      name: artifactNameSchema.parse('building-monitor'),
      version: '1.4.2',
      platform: { os: 'linux', arch: 'arm64' },
      withdrawn: false,
      needs: ['svm ^1.2.0'],
      path: [],
    },
    {
      name: artifactNameSchema.parse('wall'),
      version: '1.0.0',
      platform: {},
      withdrawn: true,
      needs: ['building-monitor'],
      path: ['building-monitor 1.4.2'],
    },
  ],
  moreDependents: 0,
};

function published(name: string, version: string): Artifact {
  return {
    manifest: artifactManifestSchema.parse({ name, version }),
    contentSha256: sha256Schema.parse('a'.repeat(64)),
    unpackedSize: 1,
    fileCount: 1,
    segments: [{ encoding: 'gzip', sha256: sha256Schema.parse('b'.repeat(64)), size: 10 }],
    publishedAt: 1_700_000_000_000,
  };
}
