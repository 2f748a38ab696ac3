import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import pg from 'pg';
import { startPostgres } from './postgres.ts';
import { waitFor } from './wait.ts';

async function answers(url: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2000 });
  client.on('error', () => {});
  try {
    await client.connect();
    await client.query('select 1');
    return true;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => {});
  }
}

it('a PostgreSQL for tests answers until it is disposed, with databases apart', async (t) => {
  const server = await startPostgres();
  if (server.kind === 'missing') return t.skip(server.reason);
  const other = await server.createDatabase();
  assert.notEqual(other, server.url);
  assert.deepEqual([await answers(server.url), await answers(other)], [true, true]);
  await server[Symbol.asyncDispose]();
  assert.equal(await answers(server.url), false);
});

it('a PostgreSQL for tests goes with the process that started it, also when that is killed', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'leonore-orphan-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const script = `
    const { startPostgres } = await import(${JSON.stringify(new URL('./postgres.ts', import.meta.url).href)});
    const server = await startPostgres();
    console.log(JSON.stringify({ url: server.url, reason: server.reason }));
    setInterval(() => {}, 1000);`;
  // The server's user must reach the folder too.
  await chmod(folder, 0o777);
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    env: { ...process.env, TMPDIR: folder },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  const [line] = (await new Promise<string>((resolve) => child.stdout.setEncoding('utf8').once('data', resolve))).split(
    '\n',
  );
  const { url, reason } = JSON.parse(line ?? '') as { url?: string; reason?: string };
  if (url === undefined) return t.skip(reason);
  assert.equal(await answers(url), true);
  child.kill('SIGKILL');
  await waitFor('the server to end', async () => !(await answers(url)));
  await waitFor('its folder to go', async () => (await readdir(folder)).length === 0);
});
