import assert from 'node:assert/strict';
import { mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { temporaryFolder } from '../test-support/temporary-folder.ts';
import { lockFolder } from './lock.ts';

void test('one agent for each folder, by whatever name; free again when it lets go', async () => {
  await using root = await temporaryFolder();
  const [one, other, alias] = ['one', 'other', 'alias'].map((name) => join(root.path, name));
  assert.ok(one !== undefined && other !== undefined && alias !== undefined);
  await mkdir(one);
  await mkdir(other);
  await symlink(one, alias);
  const lock = await lockFolder(one);
  await using _other = await lockFolder(other);
  await assert.rejects(lockFolder(alias), /another agent works in .*alias/);
  await lock[Symbol.asyncDispose]();
  await using _again = await lockFolder(alias);
});

void test('who comes while the former is going waits for it', async () => {
  await using root = await temporaryFolder();
  const former = await lockFolder(root.path);
  const next = lockFolder(root.path);
  await former[Symbol.asyncDispose]();
  await using _ = await next;
});
