import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { describe, it, type TestContext } from 'node:test';
import { EMPTY_PROFILE } from '@leonore/protocol';
import { gateway, tenantNamed } from '../conformance/samples.ts';
import { openRepositories, openSqliteRepositories } from '../mod.ts';
import { createGroupCommit } from './group-commit.ts';
import { WRITER_PRAGMAS } from './sqlite.ts';
import { openConnection, toKyselyDatabase } from './sqlite-connection.ts';

async function temporaryFile(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'leonore-sqlite-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return join(folder, 'leonore.db');
}

const TENANT = tenantNamed('default');

describe('the SQLite driver', () => {
  it('has on disk what it said it wrote, when the process is killed', async (t) => {
    const file = await temporaryFile(t);
    // Says each id only once its promise is fulfilled; never stops by itself.
    const writer = `
      import { writeSync } from 'node:fs';
      const { openSqliteRepositories } = await import(${JSON.stringify(new URL('../mod.ts', import.meta.url).href)});
      const { gateway } = await import(${JSON.stringify(new URL('../conformance/samples.ts', import.meta.url).href)});
      const repositories = await openSqliteRepositories({ file: ${JSON.stringify(file)} });
      for (let n = 0; ; n++) {
        const ids = Array.from({ length: 20 }, (_, i) => 'gw-' + n + '-' + i);
        await Promise.all(ids.map(async (id) => {
          await repositories.write((set) => set.gateways.insert('default', gateway(id, { labels: { n: id } })));
          writeSync(1, id + '\\n');
        }));
      }`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', writer], { stdio: ['ignore', 'pipe', 'pipe'] });
    let complaints = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (complaints += text));
    const said: string[] = [];
    for await (const line of createInterface({ input: child.stdout })) {
      said.push(line);
      if (said.length === 150) child.kill('SIGKILL');
    }
    assert.ok(said.length >= 150, complaints);

    await using repositories = await openSqliteRepositories({ file });
    const { items } = await repositories.read.gateways.list(TENANT, { limit: 100_000 });
    const there = new Set<string>(items.map(({ id }) => id));
    assert.deepEqual(
      said.filter((id) => !there.has(id)),
      [],
    );
    // Whatever else is there is whole: each with its facts.
    assert.ok((await repositories.read.gateways.selectorKeys(TENANT)).includes('n'));
    const own = { terms: [{ kind: 'exists', key: 'n' }], text: 'n' } as const;
    assert.equal(await repositories.read.gateways.count(TENANT, own), items.length);
  });

  it('writes in WAL, synced at each commit', async (t) => {
    const file = await temporaryFile(t);
    using database = openConnection(file, WRITER_PRAGMAS);
    assert.equal(database.prepare('pragma journal_mode').get()?.['journal_mode'], 'wal');
    assert.equal(database.prepare('pragma synchronous').get()?.['synchronous'], 2);
    assert.equal(database.prepare('pragma foreign_keys').get()?.['foreign_keys'], 1);
  });

  it('refuses to write through `read`', async (t) => {
    await using repositories = await openSqliteRepositories({ file: await temporaryFile(t) });
    await assert.rejects(repositories.read.gateways.insert(TENANT, gateway('gw')), /readonly/);
  });

  it('finds everything again when it is opened again, by its path alone', async (t) => {
    const file = await temporaryFile(t);
    const record = gateway('gw', { profile: { ...EMPTY_PROFILE, os: 'linux' } });
    {
      await using repositories = await openRepositories(file);
      await repositories.write((set) => set.gateways.insert(TENANT, record));
    }
    await assert.rejects(stat(`${file}-wal`), { code: 'ENOENT' });
    await using repositories = await openRepositories(file);
    assert.deepEqual(await repositories.read.gateways.find(TENANT, record.id), record);
  });

  it('refuses a file that is no database, and leaves it as it is', async (t) => {
    const file = await temporaryFile(t);
    await writeFile(file, 'this is a letter, not a database, and a long one at that');
    await assert.rejects(openSqliteRepositories({ file }), /not a database/);
    assert.match(await readFile(file, 'utf8'), /^this is a letter/);
  });

  it('says so when the disk is full, and what was there stands', async (t) => {
    using database = openConnection(await temporaryFile(t), [...WRITER_PRAGMAS, 'max_page_count = 40']);
    database.exec('create table filler(text text) strict');
    const insert = toKyselyDatabase(database, { keptStatements: 1 }).prepare('insert into filler values (?)');
    const commits = createGroupCommit(database, { maxWorks: 10, maxMs: 10 });
    const fill = (size: number) => commits.write(() => Promise.resolve(insert.run(['x'.repeat(size)])));
    await fill(10_000);
    await assert.rejects(fill(1_000_000), { code: 'storage.full' });
    await fill(10_000);
    assert.equal(database.prepare('select count(*) as count from filler').get()?.['count'], 2);
  });

  it('keeps its prepared statements within bounds', async (t) => {
    using database = openConnection(await temporaryFile(t), []);
    const kysely = toKyselyDatabase(database, { keptStatements: 3 });
    const prepare = t.mock.method(database, 'prepare');
    const run = (...numbers: number[]) => numbers.map((n) => kysely.prepare(`select ${n} as n`).all([]));
    assert.equal(run(1, 2, 3, 1, 2, 3).length, 6);
    assert.equal(prepare.mock.callCount(), 3);
    // 4 takes the place of 1, the one used least recently; the others stay.
    run(4, 2, 3, 4);
    assert.equal(prepare.mock.callCount(), 4);
    run(1);
    assert.equal(prepare.mock.callCount(), 5);
  });
});
