import assert from 'node:assert/strict';
import { mkdir, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { z } from 'zod';
import { silentLogger } from '../connectivity/mod.ts';
import { entry } from '../test-support/manifests.ts';
import { temporaryFolder } from '../test-support/temporary-folder.ts';
import { readDurable, writeDurable } from './durable-file.ts';
import { agentFolder, makeFolders } from './folder.ts';
import { openState } from './state.ts';

const schema = z.object({ count: z.int() });

void test('reads back what was written', async () => {
  await using root = await temporaryFolder();
  const file = join(root.path, 'state.json');
  assert.equal(await readDurable(file, schema), undefined);
  await writeDurable(file, { count: 1 });
  await writeDurable(file, { count: 2 });
  assert.deepEqual(await readDurable(file, schema), { value: { count: 2 }, healed: false });
});

const damages: readonly ((file: string, size: number) => Promise<void>)[] = [
  (file) => rm(file),
  (file) => truncate(file, 0),
  (file, size) => truncate(file, size - 3),
  (file, size) => truncate(file, Math.floor(size / 2)),
  (file, size) => writeFile(file, Buffer.alloc(size)),
  (file) => writeFile(file, '{"count":"two"}'),
];

void test('torn anywhere, zeroed, emptied or missing: the other copy has the same, and makes it whole', async () => {
  await using root = await temporaryFolder();
  const file = join(root.path, 'state.json');
  for (const damage of damages) {
    await writeDurable(file, { count: 1 });
    await writeDurable(file, { count: 2 });
    const text = await readFile(file, 'utf8');
    await damage(file, text.length);
    assert.deepEqual(await readDurable(file, schema), { value: { count: 2 }, healed: true });
    assert.equal(await readFile(file, 'utf8'), text);
    await damage(`${file}.bak`, text.length);
    assert.deepEqual(await readDurable(file, schema), { value: { count: 2 }, healed: false });
    assert.equal(await readFile(`${file}.bak`, 'utf8'), text);
  }
});

void test('cut off between the two copies, the newer counts', async () => {
  await using root = await temporaryFolder();
  const file = join(root.path, 'state.json');
  await writeDurable(file, { count: 1 });
  const old = await readFile(file);
  await writeDurable(file, { count: 2 });
  await writeFile(`${file}.bak`, old);
  assert.deepEqual(await readDurable(file, schema), { value: { count: 2 }, healed: false });
  await rm(file);
  assert.deepEqual(await readDurable(file, schema), { value: { count: 2 }, healed: true });
});

void test('a write that dies halfway leaves the file as it was', async () => {
  await using root = await temporaryFolder();
  const file = join(root.path, 'state.json');
  await writeDurable(file, { count: 1 });
  await writeFile(`${file}.tmp`, '{"cou');
  assert.deepEqual(await readDurable(file, schema), { value: { count: 1 }, healed: false });
  await writeDurable(file, { count: 2 });
  assert.deepEqual(await readDurable(file, schema), { value: { count: 2 }, healed: false });
});

void test('both copies of the state lost: read from the version folders, and the sequence does not fall', async () => {
  await using root = await temporaryFolder();
  const folder = agentFolder(root.path);
  await makeFolders(folder);
  const svm = { ...entry({ name: 'svm', version: '1.2.0' }), sequence: 41 };
  await mkdir(folder.version('svm', '1.2.0'), { recursive: true });
  await writeDurable(join(folder.version('svm', '1.2.0'), 'component.json'), svm);
  await symlink('1.2.0', folder.current('svm'));
  await mkdir(folder.version('half', '1.0.0'), { recursive: true });
  await writeFile(folder.state, Buffer.alloc(100));
  const state = await openState(folder, silentLogger);
  assert.deepEqual(state.value.installed, { svm });
  assert.equal(state.value.last?.sequence, 41);
  assert.deepEqual((await openState(folder, silentLogger)).value, state.value);
});

void test('a build beside another of the same version is found in its own folder', async () => {
  await using root = await temporaryFolder();
  const folder = agentFolder(root.path);
  await makeFolders(folder);
  const svm = { ...entry({ name: 'svm', version: '1.2.0' }), folder: '1.2.0~0123abcd' };
  await mkdir(folder.version('svm', svm.folder), { recursive: true });
  await writeDurable(folder.state, { schemaVersion: 1, installed: { svm } });
  assert.deepEqual((await openState(folder, silentLogger)).value.installed, { svm });
});
