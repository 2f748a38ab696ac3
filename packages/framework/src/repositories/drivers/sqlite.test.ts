import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { DatabaseSync } from 'node:sqlite';
import { describe, it, type TestContext } from 'node:test';
import { EMPTY_PROFILE } from '@leonore/protocol';
import { gateway, tenantNamed } from '../conformance/samples.ts';
import { openRepositories, openSqliteRepositories } from '../mod.ts';

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
    assert.deepEqual(said.filter((id) => !there.has(id)), []);
    // Whatever else is there is whole: each with its facts.
    assert.ok((await repositories.read.gateways.selectorKeys(TENANT)).includes('n'));
    const own = { terms: [{ kind: 'exists', key: 'n' }], text: 'n' } as const;
    assert.equal(await repositories.read.gateways.count(TENANT, own), items.length);
  });

  it('writes in WAL, synced at each commit', async (t) => {
    const file = await temporaryFile(t);
    await using repositories = await openSqliteRepositories({ file });
    await repositories.write((set) => set.gateways.insert(TENANT, gateway('gw')));
    assert.ok((await stat(`${file}-wal`)).size > 0);
    const source = await readFile(new URL('./sqlite.ts', import.meta.url), 'utf8');
    assert.match(source, /synchronous = full/);
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
    const { writeFile } = await import('node:fs/promises');
    await writeFile(file, 'this is a letter, not a database, and a long one at that');
    await assert.rejects(openSqliteRepositories({ file }), /not a database/);
    assert.match(await readFile(file, 'utf8'), /^this is a letter/);
  });

  it('says so when the disk is full', async (t) => {
    const file = await temporaryFile(t);
    await (await openSqliteRepositories({ file }))[Symbol.asyncDispose]();
    {
      using database = new DatabaseSync(file);
      const pages = database.prepare('pragma page_count').get()?.['page_count'];
      assert.ok(Number(pages) > 0);
    }
    await using repositories = await openSqliteRepositories({ file, maxPages: 60 });
    const labels = { filler: 'x'.repeat(100_000) };
    const fill = (id: string) => repositories.write((set) => set.gateways.insert(TENANT, gateway(id, { labels })));
    await fill('first');
    await assert.rejects(
      (async () => {
        for (let i = 0; i < 20; i++) await fill(`gw-${i}`);
      })(),
      { code: 'storage.full' },
    );
    // What was there stands, and reads go on.
    assert.ok(await repositories.read.gateways.find(TENANT, gateway('first').id));
  });
});
