/**
 * `npm run build:deb`: packages/agent/dist/leonore-agent_VERSION_all.deb, with dpkg-deb. What is in it: the agent's one file,
 * its launcher and unit from packages/agent/setup, and what Debian wants around it from packages/agent/deb.
 */
import { execFile } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readFile, readdir, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { AGENT_DIST, buildAgent } from './build-agent.ts';

const run = promisify(execFile);
const AGENT = fileURLToPath(new URL('../packages/agent/', import.meta.url));
const LIB = 'usr/lib/leonore-agent';
const DOC = 'usr/share/doc/leonore-agent';

/** Fulfilled with the path of the package in `outDir`. Takes dpkg-deb. */
export async function buildDeb(outDir: string): Promise<string> {
  const { version } = JSON.parse(await readFile(join(AGENT, 'package.json'), 'utf8')) as { version: string };
  const tree = await mkdtemp(join(tmpdir(), 'leonore-deb-'));
  try {
    await buildAgent(join(tree, LIB));
    const put = async (text: string | Buffer, path: string, mode = 0o644): Promise<void> => {
      await mkdir(dirname(join(tree, path)), { recursive: true });
      await writeFile(join(tree, path), text);
      await chmod(join(tree, path), mode);
    };
    const deb = async (name: string): Promise<string> =>
      (await readFile(join(AGENT, 'deb', name), 'utf8')).replaceAll('@VERSION@', version);
    await put(await readFile(join(AGENT, 'setup/leonore-agent')), `${LIB}/leonore-agent`, 0o755);
    await put(await deb('stop-applications'), `${LIB}/stop-applications`, 0o755);
    await put(
      await readFile(join(AGENT, 'setup/leonore-agent.service')),
      'usr/lib/systemd/system/leonore-agent.service',
    );
    await put(await deb('agent.conf'), 'etc/leonore/agent.conf');
    await put(gzip(await deb('leonore-agent.8')), 'usr/share/man/man8/leonore-agent.8.gz');
    await put(gzip(await deb('changelog')), `${DOC}/changelog.gz`);
    await put(await deb('copyright'), `${DOC}/copyright`);
    await mkdir(join(tree, 'usr/sbin'), { recursive: true });
    await symlink('../lib/leonore-agent/leonore-agent', join(tree, 'usr/sbin/leonore-agent'));

    const kilobytes = Math.ceil((await sizeOf(tree)) / 1024);
    await put((await deb('control')).replace('@SIZE@', String(kilobytes)), 'DEBIAN/control');
    await put('/etc/leonore/agent.conf\n', 'DEBIAN/conffiles');
    for (const name of ['postinst', 'prerm', 'postrm']) await put(await deb(name), `DEBIAN/${name}`, 0o755);
    await put(await md5sums(tree), 'DEBIAN/md5sums');
    await chmodFolders(tree);

    await mkdir(outDir, { recursive: true });
    const made = join(outDir, `leonore-agent_${version}_all.deb`);
    await run('dpkg-deb', ['--root-owner-group', '-Zxz', '--build', tree, `${made}.new`]);
    await rename(`${made}.new`, made);
    return made;
  } finally {
    await rm(tree, { recursive: true, force: true });
  }
}

function gzip(text: string): Buffer {
  return gzipSync(text, { level: 9 });
}

async function filesIn(tree: string): Promise<string[]> {
  const entries = await readdir(tree, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

async function sizeOf(tree: string): Promise<number> {
  const sizes = await Promise.all((await filesIn(tree)).map(async (path) => (await stat(path)).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}

async function md5sums(tree: string): Promise<string> {
  const files = (await filesIn(tree)).map((path) => path.slice(tree.length + 1));
  const packed = files.filter((path) => !path.startsWith('DEBIAN/') && !path.startsWith('etc/')).toSorted();
  return (await run('md5sum', packed, { cwd: tree })).stdout;
}

async function chmodFolders(tree: string): Promise<void> {
  const entries = await readdir(tree, { recursive: true, withFileTypes: true });
  const folders = entries.filter((entry) => entry.isDirectory()).map((entry) => join(entry.parentPath, entry.name));
  for (const folder of [tree, ...folders]) await chmod(folder, 0o755);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.log(await buildDeb(AGENT_DIST));
