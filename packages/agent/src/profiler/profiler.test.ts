import assert from 'node:assert/strict';
import { chmod, writeFile } from 'node:fs/promises';
import { arch, platform } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { type GatewayProfile, gatewayProfileSchema, mergePatch } from '@leonore/protocol';
import * as fc from 'fast-check';
import { temporaryFolder } from '../test-support/temporary-folder.ts';
import { findCapabilities, PROBES } from './capabilities.ts';
import { findCompatibleArchs } from './platform.ts';
import { createProfiler, diffPatch, newsOf } from './profiler.ts';

void test('profiles this machine in a form that the framework takes', async () => {
  await using root = await temporaryFolder();
  const overrides: Partial<GatewayProfile> = { arch: 'arm64', capabilities: { coffee: '1.0' } };
  const profiler = createProfiler({
    root: root.path,
    version: '0.1.0',
    labels: { site: 'vienna' },
    strategies: ['push', 'pull'],
    overrides,
    installed: () => [],
    probes: PROBES.filter(({ capability }) => capability === 'node'),
  });
  const profile = await profiler.profile();
  assert.deepEqual(gatewayProfileSchema.parse(JSON.parse(JSON.stringify(profile))), profile);
  assert.equal(profile.os, platform());
  assert.equal(profile.arch, 'arm64', `overridden, is ${arch()}`);
  assert.ok(platform() !== 'linux' || profile.libc === 'glibc' || profile.libc === 'musl');
  assert.equal(profile.capabilities['coffee'], '1.0');
  assert.deepEqual(profile.encodings, ['zstd', 'gzip']);
  assert.ok((profile.disk?.total ?? 0) >= (profile.disk?.free ?? 1));
  assert.ok((profile.memory?.total ?? 0) > 0);
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

void test('free memory and disk are no news, a new component is', async () => {
  await using root = await temporaryFolder();
  const options = { root: root.path, version: '0.1.0', labels: {}, strategies: ['pull'] as const, probes: [] };
  const profile = await createProfiler({ ...options, installed: () => [] }).profile();
  const later = { ...profile, memory: { total: profile.memory?.total ?? 0, free: 1 }, reportedAt: 5 };
  assert.deepEqual(newsOf(later), newsOf(profile));
  assert.notDeepEqual(newsOf({ ...profile, installed: undefined }), newsOf(profile));
});

void test('finds versions as real runtimes write them; what hangs, fails or is not there is not found', async () => {
  await using root = await temporaryFolder();
  const says = async (name: string, text: string): Promise<string> => {
    const file = join(root.path, name);
    await writeFile(file, `#!/bin/sh\n${text}\n`);
    await chmod(file, 0o755);
    return file;
  };
  const commands: Record<string, string> = {
    java: await says('java', `echo 'openjdk version "17.0.15" 2025-04-15' >&2`),
    python3: await says('python3', 'echo Python 3.11.2'),
    node: await says('node', 'echo v24.21.0'),
    docker: await says('docker', `echo 'Docker version 20.10.24+dfsg1, build 297e128'`),
    podman: await says('podman', 'sleep 60'),
    perl: await says('perl', 'exit 1'),
    ruby: join(root.path, 'nothing'),
    lua: await says('lua', 'echo moon'),
  };
  const probes = PROBES.map((probe) => ({ ...probe, command: commands[probe.capability] ?? '' }));
  const begun = performance.now();
  assert.deepEqual(await findCapabilities(probes, 1000), {
    java: '17.0.15',
    python3: '3.11.2',
    node: '24.21.0',
    docker: '20.10.24',
  });
  assert.ok(performance.now() - begun < 5000);
});

const json = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.string({ maxLength: 3 }),
    fc.integer(),
    fc.array(fc.integer(), { maxLength: 2 }),
    fc.dictionary(fc.constantFrom('a', 'b', 'c'), tie('value'), { maxKeys: 3, noNullPrototype: true }),
  ),
})).value;

void test('property: the patch turns what was sent into what is', () => {
  const record = fc.dictionary(fc.constantFrom('a', 'b', 'c', 'd'), json);
  fc.assert(
    fc.property(record, record, (before, after) => {
      assert.deepEqual(mergePatch(before, diffPatch(before, after)), { ...after });
    }),
  );
});
