/**
 * A real PostgreSQL server for tests, from the machine's own binaries: its own folder, its own port, gone with its test,
 * and also when the test's process dies. Nothing of a server that runs on the machine already is touched.
 */
import { type ChildProcess, execFile, type StdioOptions, spawn } from 'node:child_process';
import { chown, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { freePort } from './processes.ts';
import { waitFor } from './wait.ts';

export interface Postgres extends AsyncDisposable {
  readonly kind: 'running';
  /** Of an empty database. */
  readonly url: string;
  /** The url of another empty database on the same server. */
  createDatabase(): Promise<string>;
}

/** There is no PostgreSQL here: `reason` is what a skipped test says. */
export interface NoPostgres {
  readonly kind: 'missing';
  readonly reason: string;
}

/** Whom its files belong to and who runs it; undefined = whoever we are. */
type Account = { readonly uid: number; readonly gid: number } | undefined;

const DEBIAN_VERSIONS = '/usr/lib/postgresql';
const USER = 'leonore';
/** From this version on collations of ICU can be the default; with one, text is not compared by bytes, as on real servers. */
const FIRST_WITH_ICU = 15;

export async function startPostgres(): Promise<Postgres | NoPostgres> {
  const binaries = await findBinaries();
  if (!binaries) return { kind: 'missing', reason: 'no PostgreSQL on this machine; apt-get install postgresql' };
  const account = await findAccount();
  await using stack = new AsyncDisposableStack();
  const dir = await mkdtemp(join(tmpdir(), 'leonore-postgres-'));
  stack.defer(() => rm(dir, { recursive: true, force: true, maxRetries: 5 }));
  if (account) await chown(dir, account.uid, account.gid);
  const locale = binaries.major < FIRST_WITH_ICU ? [] : ['--locale-provider=icu', '--icu-locale=en-US'];
  await promisify(execFile)(
    join(binaries.folder, 'initdb'),
    ['-D', join(dir, 'data'), '-U', USER, '-A', 'trust', '-E', 'UTF8', '--locale=C.UTF-8', '--no-sync', ...locale],
    { cwd: dir, ...account },
  );
  const port = await freePort();
  const server = stack.adopt(startServer(join(binaries.folder, 'postgres'), dir, port, account), stopServer);
  const url = (database: string) => `postgres://${USER}@127.0.0.1:${port}/${database}`;
  const admin = url('postgres');
  let databases = 0;
  const createDatabase = async () => {
    const name = `leonore_${++databases}`;
    await query(admin, `create database ${name}`);
    return url(name);
  };
  const first = await waitFor(
    'PostgreSQL to answer',
    () => {
      if (server.child.exitCode !== null) throw new Error(`PostgreSQL ended at once:\n${server.output()}`);
      return createDatabase().catch(() => undefined);
    },
    { describe: server.output },
  );
  const resources = stack.move();
  return {
    kind: 'running',
    url: first,
    createDatabase,
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

/** The newest of Debian's versions, else what PATH has. */
async function findBinaries(): Promise<{ folder: string; major: number } | undefined> {
  const versions = (await readdir(DEBIAN_VERSIONS).catch(() => []))
    .toSorted((a, b) => Number(b) - Number(a))
    .map((version) => join(DEBIAN_VERSIONS, version, 'bin'));
  for (const folder of [...versions, ...(process.env['PATH'] ?? '').split(':')]) {
    const said = await promisify(execFile)(join(folder, 'initdb'), ['--version']).catch(() => undefined);
    const major = /(\d+)(?:\.\d+)*\s*(?:\(.*\))?\s*$/.exec(said?.stdout ?? '')?.[1];
    if (major !== undefined) return { folder, major: Number(major) };
  }
  return undefined;
}

/** PostgreSQL refuses to run as root. */
async function findAccount(): Promise<Account> {
  if (process.getuid?.() !== 0) return undefined;
  const accounts = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'));
  for (const wanted of ['postgres', 'nobody']) {
    const [, , uid, gid] = accounts.find(([name]) => name === wanted) ?? [];
    if (uid !== undefined && gid !== undefined) return { uid: Number(uid), gid: Number(gid) };
  }
  throw new Error('PostgreSQL does not run as root and there is neither a user postgres nor nobody in /etc/passwd');
}

interface Server {
  readonly child: ChildProcess;
  readonly output: () => string;
}

/**
 * The shell becomes the server ($$). What it leaves behind reads descriptor 3: a line lets it go; the end without a line
 * comes when we die, and then it ends the server and takes the folder ($1) away.
 */
const UNTIL_WE_DIE = `
  dir=$1; shift
  (read -r _ <&3 && exit
   kill -INT $$; while kill -0 $$; do sleep 0.1; done; rm -rf "$dir") >/dev/null 2>&1 &
  exec "$@" 3<&-`;

function startServer(postgres: string, dir: string, port: number, account: Account): Server {
  const settings = {
    listen_addresses: '127.0.0.1',
    unix_socket_directories: dir,
    // Nobody's data: fast rather than safe.
    fsync: 'off',
    full_page_writes: 'off',
    max_connections: '60',
    shared_buffers: '32MB',
  };
  const options = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const stdio: StdioOptions = ['ignore', 'pipe', 'pipe', 'pipe'];
  const child = spawn(
    'sh',
    ['-c', UNTIL_WE_DIE, 'sh', dir, postgres, '-D', join(dir, 'data'), '-p', String(port), ...options],
    { cwd: dir, stdio, ...account },
  );
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-20_000);
    });
  }
  return { child, output: () => output };
}

async function stopServer({ child }: Server): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) {
    const exited = new Promise((resolve) => child.once('exit', resolve));
    // Fast shutdown: ends the connections there are. Past the time, immediate.
    child.kill('SIGINT');
    const hard = setTimeout(() => child.kill('SIGQUIT'), 10_000);
    await exited;
    clearTimeout(hard);
  }
  const lifeline = child.stdio[3];
  if (lifeline && 'end' in lifeline) lifeline.end('\n');
  child.stdout?.destroy();
  child.stderr?.destroy();
}

async function query(url: string, text: string): Promise<void> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2000 });
  // A server that is still starting may end the connection.
  client.on('error', () => {});
  await client.connect();
  try {
    await client.query(text);
  } finally {
    await client.end();
  }
}
