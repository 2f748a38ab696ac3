import assert from 'node:assert/strict';
import { chmod, readFile, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { temporaryFolder } from '../test-support/temporary-folder.ts';
import { createCapabilityFinder, PROBES, type Probe } from './capabilities.ts';

async function says(dir: string, name: string, text: string): Promise<string> {
  const file = join(dir, name);
  await writeFile(file, `#!/bin/sh\n${text}\n`);
  await chmod(file, 0o755);
  return file;
}

void test('finds versions as real runtimes write them; what hangs, fails or is not there is not found', async () => {
  await using root = await temporaryFolder();
  const at = (name: string, text: string) => says(root.path, name, text);
  const commands: Record<string, string> = {
    java: await at('java', `echo 'openjdk version "17.0.15" 2025-04-15' >&2`),
    python3: await at('python3', 'echo Python 3.11.2'),
    node: await at('node', 'echo v24.21.0'),
    docker: await at('docker', `echo 'Docker version 20.10.24+dfsg1, build 297e128'`),
    podman: await at('podman', 'sleep 60'),
    perl: await at('perl', 'exit 1'),
    ruby: join(root.path, 'nothing'),
    lua: await at('lua', 'echo moon'),
    php: await at('php', `echo 'PHP 8.2.29 (cli) (built: Jul  3 2025 16:16:05) (NTS)'`),
    dotnet: await at('dotnet', `echo 'Microsoft.NETCore.App 8.0.11 [/usr/share/dotnet/shared/Microsoft.NETCore.App]'`),
    wasmtime: await at('wasmtime', `echo 'wasmtime 27.0.0 (8eefa236f 2024-11-20)'`),
  };
  const probes = PROBES.map((probe) => ({ ...probe, command: commands[probe.capability] ?? '' }));
  const begun = performance.now();
  assert.deepEqual(await createCapabilityFinder({ probes, timeoutMs: 1000 }).find(), {
    java: '17.0.15',
    python3: '3.11.2',
    node: '24.21.0',
    docker: '20.10.24',
    php: '8.2.29',
    dotnet: '8.0.11',
    wasmtime: '27.0.0',
  });
  assert.ok(performance.now() - begun < 5000);
});

void test('asks a program once, and again when it is another: replaced, updated behind a link, gone', async () => {
  await using root = await temporaryFolder();
  const calls = join(root.path, 'calls');
  const tool = (version: string) => `echo x >> "${calls}"; echo "tool ${version}"`;
  const asked = async (): Promise<number> => (await readFile(calls, 'utf8')).length / 2;
  await says(root.path, 'tool-1', tool('1.0'));
  await says(root.path, 'tool-2', tool('2.0'));
  const command = join(root.path, 'tool');
  await symlink('tool-1', command);
  const probe: Probe = { capability: 'tool', command, args: [], pattern: /tool (\S+)/ };
  const finder = createCapabilityFinder({ probes: [probe] });
  for (let i = 0; i < 3; i++) assert.deepEqual(await finder.find(), { tool: '1.0' });
  assert.equal(await asked(), 1);

  await rm(command);
  await symlink('tool-2', command);
  assert.deepEqual(await finder.find(), { tool: '2.0' });
  await says(root.path, 'tool-2', tool('2.1'));
  await utimes(join(root.path, 'tool-2'), 1, 1);
  assert.deepEqual(await finder.find(), { tool: '2.1' });
  assert.equal(await asked(), 3);
  await rm(command);
  assert.deepEqual(await finder.find(), {});
});

void test('one that did not answer in time is asked again, one that failed is not', async () => {
  await using root = await temporaryFolder();
  const go = join(root.path, 'go');
  const calls = join(root.path, 'calls');
  const slow = await says(root.path, 'slow', `test -e "${go}" || sleep 60; echo 1.0`);
  const bad = await says(root.path, 'bad', `echo x >> "${calls}"; exit 1`);
  const probe = (capability: string, command: string): Probe => ({ capability, command, args: [], pattern: /(.+)/ });
  const finder = createCapabilityFinder({ probes: [probe('slow', slow), probe('bad', bad)], timeoutMs: 500 });
  assert.deepEqual(await finder.find(), {});
  await writeFile(go, '');
  assert.deepEqual(await finder.find(), { slow: '1.0' });
  assert.equal(await readFile(calls, 'utf8'), 'x\n');
});
