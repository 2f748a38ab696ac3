import assert from 'node:assert/strict';
import { arch, platform } from 'node:os';
import { test } from 'node:test';
import { boardWord, type GatewayProfile, gatewayProfileSchema } from '@leonore/protocol';
import * as fc from 'fast-check';
import { fakeSystem, RASPBERRY } from '../test-support/fake-system.ts';
import { temporaryFolder } from '../test-support/temporary-folder.ts';
import { PROBES } from './capabilities.ts';
import { findCompatibleArchs } from './platform.ts';
import { createProfiler, type ProfilerOptions } from './profiler.ts';
import { systemFiles } from './system-files.ts';

const options = (root: string, change: Partial<ProfilerOptions> = {}): ProfilerOptions => ({
  root,
  version: '0.1.0',
  labels: {},
  strategies: ['pull'],
  installed: () => [],
  probes: [],
  ...change,
});

void test('profiles this machine in a form that the framework takes', async () => {
  await using root = await temporaryFolder();
  const overrides: Partial<GatewayProfile> = { arch: 'arm64', capabilities: { coffee: '1.0' } };
  const profiler = createProfiler(
    options(root.path, {
      labels: { site: 'vienna' },
      strategies: ['push', 'pull'],
      overrides,
      probes: PROBES.filter(({ capability }) => capability === 'node'),
    }),
  );
  const profile = await profiler.profile();
  assert.deepEqual(gatewayProfileSchema.parse(JSON.parse(JSON.stringify(profile))), profile);
  assert.equal(profile.os, platform());
  assert.equal(profile.arch, 'arm64', `overridden, is ${arch()}`);
  assert.equal(profile.cpu?.model, undefined, 'of another architecture it has no processor');
  assert.ok(platform() !== 'linux' || profile.libc === 'glibc' || profile.libc === 'musl');
  assert.match(profile.libcVersion ?? '', /^\d+\.\d+/);
  assert.equal(profile.capabilities['coffee'], '1.0');
  assert.deepEqual(profile.encodings, ['zstd', 'gzip']);
  assert.ok((profile.disk?.total ?? 0) >= (profile.disk?.free ?? 1));
  assert.ok((profile.memory?.total ?? 0) > 0);
  assert.ok((profile.uptime ?? 0) > 0);
});

void test('reads hardware and system from where the kernel tells them', async () => {
  await using system = await fakeSystem(RASPBERRY);
  const files = systemFiles(system.root);
  const profile = await createProfiler(
    options(system.root, { files, interfaces: () => ({}), clockOffset: () => -7200 }),
  ).profile();
  assert.equal(profile.board, 'Raspberry Pi 4 Model B Rev 1.4');
  assert.equal(boardWord(profile.board), 'raspberry-pi-4-model-b-rev-1.4');
  assert.deepEqual(profile.distribution, { id: 'debian', version: '12', name: 'Debian GNU/Linux 12 (bookworm)' });
  assert.deepEqual(profile.cpu?.features, ['armv8', 'asimd', 'atomics', 'crc32']);
  assert.equal(profile.cgroup, 2);
  assert.deepEqual(profile.memory, { total: 3_884_392 * 1024, free: 3_000_000 * 1024 });
  assert.deepEqual([profile.load, profile.uptime, profile.temperature], [0.25, 86_400, 51.5]);
  assert.deepEqual(profile.clock, { offset: -7200 });
  assert.equal(profile.serial, undefined, 'nobody asked for it');
  assert.ok(!JSON.stringify(profile).includes('dc:a6'));

  const telling = createProfiler(options(system.root, { files, interfaces: () => ({}), hardwareIds: true }));
  assert.equal((await telling.profile()).serial, '10000000abcdef01');
});

void test('a PC is named by its DMI, unless that says nothing', async () => {
  const boardOf = async (vendor: string, product: string): Promise<string | undefined> => {
    await using system = await fakeSystem({
      '/sys/class/dmi/id/sys_vendor': vendor,
      '/sys/class/dmi/id/product_name': product,
    });
    return (await createProfiler(options(system.root, { files: systemFiles(system.root) })).profile()).board;
  };
  assert.equal(await boardOf('Dell Inc.\n', 'OptiPlex 7010\n'), 'Dell Inc. OptiPlex 7010');
  assert.equal(await boardOf('QEMU', 'QEMU Virtual Machine'), 'QEMU Virtual Machine');
  assert.equal(await boardOf('To Be Filled By O.E.M.', 'System Product Name'), undefined);
  assert.equal(await boardOf('ACME', 'Default string'), 'ACME');
});

void test('what costs something is looked at again by a refresh only', async () => {
  await using system = await fakeSystem(RASPBERRY);
  let reads = 0;
  let asks = 0;
  const profiler = createProfiler(
    options(system.root, {
      files: systemFiles(system.root),
      facts: { read: () => Promise.resolve({ reads: ++reads }) },
      executors: () => Promise.resolve({ 'executor-oci': `1.${++asks}`, 'executor-odd': 'no version' }),
    }),
  );
  for (let i = 0; i < 3; i++) {
    const profile = await profiler.profile();
    assert.deepEqual([profile.facts, profile.capabilities], [{ reads: 1 }, { 'executor-oci': '1.1' }]);
  }
  await profiler.refresh();
  const profile = await profiler.profile();
  assert.deepEqual([profile.facts, profile.capabilities], [{ reads: 2 }, { 'executor-oci': '1.2' }]);
});

void test('waits for own facts, but not for ever', async () => {
  await using system = await fakeSystem();
  let say = (_: Record<string, string>): void => undefined;
  const facts = { read: () => new Promise<Record<string, string>>((resolve) => (say = resolve)) };
  const profiler = createProfiler(options(system.root, { files: systemFiles(system.root), facts }));
  assert.equal((await profiler.profile()).facts, undefined);
  say({ late: 'yes' });
  assert.deepEqual((await profiler.profile()).facts, { late: 'yes' });
});

void test('executors that cannot be asked cost the profile nothing', async () => {
  await using system = await fakeSystem();
  const executors = () => Promise.reject(new Error('no'));
  const profile = await createProfiler(options(system.root, { files: systemFiles(system.root), executors })).profile();
  assert.deepEqual(profile.capabilities, {});
});

void test('property: whatever the system says, the profile is one that the framework takes', async () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 300 }),
    fc.stringMatching(/^[0-9a-fA-F:. \t\n-]{0,300}$/),
  );
  const paths = Object.keys(RASPBERRY);
  await fc.assert(
    fc.asyncProperty(
      fc.dictionary(fc.constantFrom(...paths), text, { maxKeys: 12, noNullPrototype: true }),
      async (change) => {
        const files = { ...RASPBERRY, ...change };
        const fake = {
          text: (path: string) => Promise.resolve(files[path]?.trim() || undefined),
          names: (path: string) =>
            Promise.resolve([
              ...new Set(
                paths
                  .filter((one) => one.startsWith(`${path}/`))
                  .map((one) => one.slice(path.length + 1).split('/')[0] ?? ''),
              ),
            ]),
          has: (path: string) => Promise.resolve(paths.some((one) => one === path || one.startsWith(`${path}/`))),
        };
        const profiler = createProfiler(options('/', { files: fake, interfaces: () => ({}), hardwareIds: true }));
        const profile = await profiler.profile();
        assert.ok(gatewayProfileSchema.safeParse(profile).success);
      },
    ),
    { numRuns: 60 },
  );
});

void test('declares an architecture beside its own only where the loader for it is there', async () => {
  const asked: string[] = [];
  const find = (own: string, there: readonly string[]) =>
    findCompatibleArchs(own, (path) => {
      asked.push(path);
      return Promise.resolve(there.includes(path));
    });
  assert.deepEqual(await find('arm64', ['/lib/ld-linux-armhf.so.3']), ['arm']);
  assert.deepEqual(await find('arm64', ['/lib/ld-linux.so.2']), []);
  assert.deepEqual(await find('x64', ['/lib/ld-linux.so.2', '/lib/ld-linux-armhf.so.3']), ['ia32']);
  assert.deepEqual(await find('x64', []), []);
  assert.deepEqual(await find('riscv64', ['/lib/ld-linux.so.2']), []);
  assert.deepEqual(asked.length, 4);
});
