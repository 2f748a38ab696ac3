/** The Debian package: lawful, installs what it says, starts nothing by itself, and leaves nothing when it is purged. */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { access, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { temporaryFolder, waitFor } from '@leonore/testkit';
import { buildDeb } from '../../scripts/build-deb.ts';

const run = promisify(execFile);
const lacks = (path: string, what: string): Promise<string | false> =>
  access(path).then(
    () => false as const,
    () => `${what} is not installed`,
  );
const noDpkg = await lacks('/usr/bin/dpkg-deb', 'dpkg');
const noLintian = await lacks('/usr/bin/lintian', 'lintian');
const notRoot = process.getuid?.() !== 0 && 'this takes root';

describe('the Debian package', { skip: noDpkg }, () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  let deb: string;
  before(async () => {
    folder = await temporaryFolder('leonore-deb-test-');
    deb = await buildDeb(folder.path);
  });
  after(() => folder[Symbol.asyncDispose]());

  it('has nothing that lintian finds', { skip: noLintian }, async () => {
    const { stdout } = await run('lintian', ['--allow-root', '--fail-on', 'error,warning', deb]);
    assert.equal(stdout, '');
  });

  it('says what it needs and keeps its configuration', async () => {
    const field = async (name: string) => (await run('dpkg-deb', ['--field', deb, name])).stdout.trim();
    assert.equal(await field('Depends'), 'nodejs (>= 20.19)');
    assert.equal(await field('Architecture'), 'all');
    const { stdout } = await run('dpkg-deb', ['--info', deb, 'conffiles']);
    assert.equal(stdout, '/etc/leonore/agent.conf\n');
  });

  it('is installed and purged, and its applications end with it', { skip: notRoot }, async () => {
    const root = join(folder.path, 'machine');
    for (const path of ['var/lib/dpkg/info', 'var/lib/dpkg/updates', 'var/lib/dpkg/triggers'])
      await mkdir(join(root, path), { recursive: true });
    await writeFile(join(root, 'var/lib/dpkg/status'), '');
    const paths = async () => {
      const names = await readdir(root, { recursive: true });
      return names.filter((name) => !name.startsWith('var/lib/dpkg')).toSorted();
    };
    const clean = await paths();
    const dpkg = (...words: string[]) =>
      run('dpkg', [`--root=${root}`, '--force-depends', '--force-script-chrootless', '--log=/dev/null', ...words]);
    await dpkg('--install', deb);
    const program = join(root, 'usr/sbin/leonore-agent');
    const env = { PATH: '/usr/bin:/bin', LEONORE_NODE: process.execPath };
    assert.equal((await run(program, ['--version'], { env })).stdout, '0.1.0\n');
    const conf = await readFile(join(root, 'etc/leonore/agent.conf'), 'utf8');
    const unset = run(program, ['--config', join(root, 'etc/leonore/agent.conf'), '--root', folder.path], { env });
    await assert.rejects(unset, { code: 2, stderr: /^error: --server <url> is missing/ });
    assert.ok(!(await paths()).some((path) => path.includes('.wants')), 'it is enabled');

    await writeFile(
      join(root, 'etc/leonore/agent.conf'),
      conf.replace(/^root=.*/m, `root=${root}/var/lib/leonore-agent`),
    );
    await mkdir(join(root, 'var/lib/leonore-agent/data'), { recursive: true });
    const data = join(root, 'var/lib/leonore-agent/data/meter');
    const application = spawn('sleep', ['600'], { env: { ...env, LEONORE_DATA_DIR: data } });
    const ended = new Promise((resolve) => application.once('exit', (_, signal) => resolve(signal)));
    await waitFor('the application to run', async () =>
      (await readFile(`/proc/${application.pid}/environ`, 'latin1')).includes(data),
    );
    await dpkg('--remove', 'leonore-agent');
    assert.equal(await ended, 'SIGTERM');
    await dpkg('--purge', 'leonore-agent');
    assert.deepEqual(await paths(), clean);
  });
});
