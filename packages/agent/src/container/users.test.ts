/** User ids of applications, and folders that are made theirs. What takes root is skipped by name where the tests are not root. */
import assert from 'node:assert/strict';
import { chmod, link, lstat, mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { temporaryFolder } from '../test-support/temporary-folder.ts';
import { giveFolder, outOfReach, takeFolder } from './access.ts';
import { APPLICATION_IDS, cannotSwitchUser, createUsers, idRangeOf } from './users.ts';

const range = { first: 5000, count: 100 };
const skip = (await cannotSwitchUser(APPLICATION_IDS)) ?? false;
const user = 1_900_000_123;

void test('property: no id is given to two applications, not at the same time and not over restarts', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.array(fc.constantFrom('a', 'b', 'c', 'd'), { maxLength: 6 })), async (runs) => {
      await using root = await temporaryFolder();
      const seen = new Map<string, number>();
      for (const names of runs) {
        const users = createUsers({ file: join(root.path, 'users'), range });
        const ids = await Promise.all(names.map((name) => users.idOf(name, join(root.path, 'data', name))));
        for (const [index, name] of names.entries()) {
          const id = ids[index] ?? 0;
          assert.equal(seen.get(name) ?? id, id, 'the same ever after');
          seen.set(name, id);
        }
      }
      assert.equal(new Set(seen.values()).size, seen.size);
      for (const id of seen.values()) assert.ok(id >= range.first && id < range.first + range.count);
    }),
    { numRuns: 30 },
  );
});

void test('an application that is gone leaves its id to nobody; when all are given, that is said', async () => {
  await using root = await temporaryFolder();
  const file = join(root.path, 'users');
  const small = { first: 5000, count: 2 };
  const users = createUsers({ file, range: small });
  assert.equal(await users.known('a', join(root.path, 'data/a')), undefined);
  assert.equal(await users.idOf('a', join(root.path, 'data/a')), 5000);
  assert.equal(await users.idOf('b', join(root.path, 'data/b')), 5001);
  assert.equal(await createUsers({ file, range: small }).known('b', join(root.path, 'data/b')), 5001);
  await assert.rejects(users.idOf('c', join(root.path, 'data/c')), /all 2 user ids .* are given/);
  assert.equal(await users.idOf('a', join(root.path, 'data/a')), 5000, 'those who have one keep it');
});

void test('agents with folders of their own have ranges of their own, which two hardly ever share', () => {
  const folders = Array.from({ length: 200 }, (_, index) => `/var/lib/leonore-${index}/run`);
  const ranges = folders.map((folder) => idRangeOf(folder));
  assert.deepEqual(
    ranges,
    folders.map((folder) => idRangeOf(folder)),
  );
  assert.ok(new Set(ranges.map(({ first }) => first)).size >= 199);
  for (const { first, count } of ranges) {
    assert.equal((first - APPLICATION_IDS.first) % count, 0, 'all or nothing of it');
    assert.ok(first > 1_879_048_191 && first + count <= 2_147_352_576, 'not what systemd gives');
  }
});

void test('where the folder was moved, ids go on in its new range, and those that were given stay', async () => {
  await using root = await temporaryFolder();
  const file = join(root.path, 'users');
  const data = join(root.path, 'data/a');
  for (const other of [
    { first: 9000, count: 10 },
    { first: 100, count: 10 },
  ]) {
    await rm(file, { force: true });
    assert.equal(await createUsers({ file, range: other }).idOf('a', data), other.first);
    const moved = createUsers({ file, range });
    assert.equal(await moved.idOf('b', data), 5000);
    assert.deepEqual([await moved.idOf('c', data), await moved.idOf('a', data)], [5001, other.first]);
  }
});

void test('a file that was lost or torn is made good by the owners of the data folders', { skip }, async () => {
  await using root = await temporaryFolder();
  const file = join(root.path, 'users');
  const dataOf = (name: string): string => join(root.path, 'data', name);
  const before = createUsers({ file, range });
  for (const name of ['a', 'b']) {
    await mkdir(dataOf(name), { recursive: true });
    await giveFolder(dataOf(name), await before.idOf(name, dataOf(name)));
  }
  for (const damage of [() => rm(file), () => writeFile(file, '{"next": 50')]) {
    await damage();
    const after = createUsers({ file, range });
    assert.equal(await after.idOf('c', dataOf('c')), 5002, 'not one that another has');
    assert.equal(await after.idOf('b', dataOf('b')), 5001);
  }
});

void test('giving a folder: all in it, following no link and taking no file from elsewhere', { skip }, async () => {
  await using root = await temporaryFolder();
  const folder = join(root.path, 'data');
  await mkdir(join(folder, 'deep/er'), { recursive: true });
  await writeFile(join(folder, 'deep/er/file'), 'x');
  await writeFile(join(root.path, 'shadow'), 'secret');
  await writeFile(join(root.path, 'passwd'), 'root');
  await link(join(root.path, 'shadow'), join(folder, 'hard'));
  await symlink(join(root.path, 'passwd'), join(folder, 'soft'));
  await giveFolder(folder, user);
  const ownerOf = async (path: string): Promise<number> => (await lstat(join(root.path, path))).uid;
  for (const path of ['data', 'data/deep', 'data/deep/er', 'data/deep/er/file', 'data/soft']) {
    assert.equal(await ownerOf(path), user, path);
  }
  assert.equal(await ownerOf('shadow'), 0);
  assert.equal(await ownerOf('passwd'), 0);
  assert.equal((await lstat(folder)).mode & 0o777, 0o700);

  await writeFile(join(folder, 'by-root'), '');
  await giveFolder(folder, user);
  assert.equal(await ownerOf('data/by-root'), 0, 'a folder that is its own already is not gone through');
  await takeFolder(folder);
  await giveFolder(folder, user);
  assert.equal(await ownerOf('data/by-root'), user);
  assert.equal(await readFile(join(folder, 'hard'), 'utf8'), 'secret');
});

void test('what is out of reach is named: a folder above that is closed, a file that is', { skip }, async () => {
  await using root = await temporaryFolder();
  const deep = join(root.path, 'a/b');
  await mkdir(deep, { recursive: true });
  await writeFile(join(deep, 'start'), '', { mode: 0o755 });
  const find = () => outOfReach(user, { readable: [deep, join(deep, 'start')], own: [join(root.path, 'data')] });
  assert.equal(await find(), root.path, 'mkdtemp makes folders that are closed');
  await chmod(root.path, 0o711);
  assert.equal(await find(), undefined);
  await chmod(join(deep, 'start'), 0o700);
  assert.equal(await find(), join(deep, 'start'));
  await chmod(join(root.path, 'a'), 0o700);
  assert.equal(await find(), join(root.path, 'a'));
});
