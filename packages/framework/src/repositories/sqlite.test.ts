import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { repositoriesConform } from './conformance.ts';
import { openSqliteRepositories } from './mod.ts';

let folder = '';
let files = 0;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'leonore-sqlite-'));
});
after(() => rm(folder, { recursive: true, force: true }));

repositoriesConform('SQLite', () => openSqliteRepositories({ file: join(folder, `${++files}.db`) }));
