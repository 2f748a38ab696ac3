import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type FakeNode, startFakeNode } from '@leonore/client/testing';
import { EMPTY_PROFILE, packageDetailsSchema, packageDiffSchema } from '@leonore/protocol';
import { type CliHome, createCliHome } from '../testing/run-cli.ts';

const OLD = `p-${'a'.repeat(32)}`;
const NEW = `p-${'b'.repeat(32)}`;
const UNKNOWN = `p-${'c'.repeat(32)}`;

function details(id: string) {
  const manifest = {
    schemaVersion: 1,
    id,
    encoding: 'zstd',
    gatewayClass: { id: 'c', platform: {} },
    components: [],
    keep: [],
    remove: [],
    payloadSize: 0,
  };
  const summary = {
    id,
    format: 'tar.zst',
    encoding: 'zstd',
    fileName: `${id}.tar.zst`,
    sha256: '0'.repeat(64),
    size: 20,
  };
  return {
    ...packageDetailsSchema.parse({
      ...summary,
      headerSize: 20,
      gatewayClass: 'c',
      components: [],
      createdAt: 1,
      manifest,
    }),
    bytes: Buffer.alloc(20),
  };
}

const DIFF = packageDiffSchema.pick({ components: true, bytes: true }).parse({
  components: [
    {
      name: 'svm',
      change: 'updated',
      from: '1.2.27',
      to: '1.2.28',
      files: [
        { path: 'binary/svm/doc', from: 2048 },
        { path: 'binary/svm/new\u001b[2J', to: 10 },
        { path: 'binary/svm/svm', from: 120_000, to: 121_000 },
        ...Array.from({ length: 30 }, (_, index) => ({ path: `binary/svm/x${index}`, from: 1, to: 1 })),
      ],
      bytes: { full: 90_000, delta: 8000 },
    },
    { name: 'ui', change: 'rebuilt', from: '2.0.0', to: '2.0.0', files: [], bytes: { full: 500 } },
    { name: 'modbus', change: 'added', to: '3.0.0', files: [], bytes: { full: 2048 } },
    { name: 'log', change: 'same', from: '1.0.0', to: '1.0.0', files: [], bytes: { full: 400, delta: 0 } },
    { name: 'jvm', change: 'removed', from: '17.0.0', files: [], bytes: { full: 0 } },
  ],
  bytes: { full: 100_000, least: 18_000 },
});

void describe('packages and gateways described', { timeout: 120_000 }, () => {
  let node: FakeNode;
  let home: CliHome;
  let run: CliHome['run'];
  before(async () => {
    node = await startFakeNode();
    home = await createCliHome({ LEONORE_URL: node.url, LEONORE_TOKEN: node.token });
    run = home.run;
    for (const id of [OLD, NEW]) node.packages.set(id, details(id));
    node.packageDiff = DIFF;
    const gateway = { id: 'gw-7', profile: EMPTY_PROFILE, labels: {}, connected: false, enrolledAt: 1, desired: [] };
    node.gateways.set('gw-7', gateway);
  });
  after(async () => {
    await node[Symbol.asyncDispose]();
    await home[Symbol.asyncDispose]();
  });

  it('package diff shows versions, files and bytes, and leaves out what would fill the screen', async () => {
    const { code, stdout } = await run(['package', 'diff', OLD, NEW]);
    assert.equal(code, 0);
    const lines = stdout.split('\n');
    assert.deepEqual(lines.slice(0, 7), [
      `${OLD} -> ${NEW}`,
      '',
      '~ svm 1.2.27 -> 1.2.28  87.9 KiB, as a delta 7.8 KiB',
      '  ├─ - binary/svm/doc  2.0 KiB',
      '  ├─ + binary/svm/new\ufffd[2J  10 B',
      '  ├─ ~ binary/svm/svm  117 KiB -> 118 KiB',
      '  ├─ ~ binary/svm/x0  1 B',
    ]);
    assert.deepEqual(lines.slice(23), [
      '  └─ and 13 more; --all-files shows them',
      '~ ui 2.0.0  same version, other content, 500 B',
      '+ modbus 3.0.0  2.0 KiB',
      '= log 1.0.0  the same, nothing of 400 B to send',
      '- jvm 17.0.0',
      '',
      'over the air  97.7 KiB as a whole, 17.6 KiB at least (18.0 %)',
      '',
    ]);
    const all = await run(['package', 'diff', OLD, NEW, '--all-files']);
    assert.match(all.stdout, /binary\/svm\/x29/);
    assert.doesNotMatch(all.stdout, /more; --all-files/);
  });

  it('package diff colours what came, went and changed', async () => {
    const { stdout } = await run(['package', 'diff', OLD, NEW], { env: { FORCE_COLOR: '1' } });
    for (const [colour, sign] of [
      [32, '\\+'],
      [31, '-'],
      [33, '~'],
    ] as const) {
      assert.match(stdout, new RegExp(`^\\u001b\\[${colour}m${sign} `, 'm'));
    }
  });

  it('package diff answers machines whole', async () => {
    const json = await run(['package', 'diff', OLD, NEW, '-o', 'json']);
    assert.deepEqual(JSON.parse(json.stdout), { from: OLD, to: NEW, ...DIFF });
    assert.match((await run(['package', 'diff', OLD, NEW, '-o', 'yaml'])).stdout, /^components:\n {2}- name: svm$/m);
    assert.equal((await run(['package', 'diff', OLD, NEW, '-o', 'name'])).stdout, 'svm\nui\nmodbus\njvm\n');
  });

  it('ends with 3 and names the package or gateway that is not there', async () => {
    for (const [call, name] of [
      [['package', 'diff', UNKNOWN, NEW], UNKNOWN],
      [['package', 'diff', OLD, UNKNOWN], UNKNOWN],
      [['package', 'sbom', UNKNOWN], UNKNOWN],
      [['gateway', 'sbom', 'gw-8'], 'gw-8'],
    ] as const) {
      const { code, stdout, stderr } = await run(call);
      assert.equal(code, 3);
      assert.equal(stdout, '');
      assert.ok(stderr.includes(name), stderr);
    }
  });

  it('sbom writes CycloneDX to standard output or a file, with files where they are asked for', async () => {
    const { stdout } = await run(['package', 'sbom', OLD]);
    const sbom = JSON.parse(stdout);
    assert.equal(sbom.bomFormat, 'CycloneDX');
    assert.deepEqual(sbom.metadata.component, { name: OLD, properties: [{ name: 'files', value: 'false' }] });
    const file = join(home.folder, 'gw.cdx.json');
    const { code, stdout: nothing } = await run(['gateway', 'sbom', 'gw-7', '--files', '-f', file]);
    assert.equal(code, 0);
    assert.equal(nothing, '');
    const written = JSON.parse(await readFile(file, 'utf8'));
    assert.deepEqual(written.metadata.component, { name: 'gw-7', properties: [{ name: 'files', value: 'true' }] });
  });
});
