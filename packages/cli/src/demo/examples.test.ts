import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join, relative } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { artifactManifestSchema } from '@leonore/protocol';
import { parse as parseYaml } from 'yaml';
import { type BuiltExamples, buildExamples } from '@leonore/examples';
import { findApplications } from '@leonore/agent';

const run = promisify(execFile);

describe('examples', { timeout: 120_000 }, () => {
  let folder: string;
  let built: BuiltExamples;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'leonore-examples-'));
    built = await buildExamples(join(folder, 'one'));
  });
  after(() => rm(folder, { recursive: true }));

  const svm = (...words: string[]) => run(join(folder, 'one/svm/binary/bin/svm'), words);
  const svmFails = async (...words: string[]) => {
    const { code, stderr } = (await svm(...words).then(
      () => assert.fail('it succeeded'),
      (error: unknown) => error,
    )) as { code: number; stderr: string };
    return { code, stderr };
  };

  it('are artifacts that can be published: valid manifests, executable scripts, files and folders only', async () => {
    for (const dir of built.dirs) {
      const manifest = artifactManifestSchema.parse(parseYaml(await readFile(join(dir, 'leonore.yaml'), 'utf8')));
      assert.equal(manifest.name, basename(dir));
      for (const script of await readdir(join(dir, 'control'))) {
        assert.equal((await stat(join(dir, 'control', script))).mode & 0o111, 0o111, `${dir}/${script}`);
      }
      for (const entry of await readdir(dir, { recursive: true, withFileTypes: true })) {
        assert.ok(entry.isFile() || entry.isDirectory(), join(entry.parentPath, entry.name));
      }
    }
  });

  it('are the same bytes each time', async () => {
    const again = await buildExamples(join(folder, 'two'), { env: { PATH: '' } });
    for (const dir of again.dirs) {
      assert.deepEqual(await digests(dir), await digests(join(folder, 'one', basename(dir))));
    }
  });

  it('without a JDK two are left out, with the reason, and the rest is made', async () => {
    const { dirs, skipped } = await buildExamples(join(folder, 'three'), { env: { PATH: '/nonexistent' } });
    assert.deepEqual(
      dirs.map((dir) => basename(dir)),
      ['hello-sensor', 'svm', 'building-monitor'],
    );
    assert.deepEqual(
      skipped.map(({ name }) => name),
      ['jvm', 'java-meter'],
    );
    for (const { reason } of skipped) assert.match(reason, /no JDK/);
  });

  it('svm calculates, loops, reads its tables, and names the line of a fault', async () => {
    assert.equal((await svm('-e', 'push 6', 'push 7', 'mul', 'print')).stdout, '42\n');
    const countdown = [
      'push 3',
      'label again',
      'dup',
      'print',
      'push 1',
      'sub',
      'dup',
      'jz end',
      'jmp again',
      'label end',
      'emit lift off',
    ];
    assert.equal((await svm('-e', ...countdown)).stdout, '3\n2\n1\nlift off\n');
    const image = await readFile(join(folder, 'one/svm/binary/lib/tables.img'));
    assert.equal((await svm('-e', 'push 1234', 'table', 'print')).stdout, `${image.readUInt16LE(2468)}\n`);
    assert.deepEqual(await svmFails('-e', 'push 1', 'push 0', 'div'), {
      code: 2,
      stderr: 'svm: line 3: division by zero\n',
    });
    assert.equal((await svmFails('-e', 'add')).code, 2);
    assert.equal((await svmFails('-e', 'push 1', 'store x;id')).stderr, 'svm: line 2: "x;id" is no name\n');
    assert.equal((await svmFails('-e', 'jmp nowhere')).stderr, 'svm: line 1: there is no label nowhere\n');
  });

  it('services become healthy once they run, end on SIGTERM, and leave nothing behind', async () => {
    const path = `${join(folder, 'one/svm/binary/bin')}:/usr/bin:/bin`;
    for (const name of ['hello-sensor', 'building-monitor']) {
      const data = await mkdtemp(join(folder, 'data-'));
      const binary = join(folder, 'one', name, 'binary');
      const env = {
        PATH: path,
        LEONORE_NAME: name,
        LEONORE_VERSION: '1.0.0',
        LEONORE_GATEWAY_ID: 'gw',
        LEONORE_DATA_DIR: data,
        LEONORE_BINARY_DIR: binary,
      };
      const script = (which: string) => run(join(folder, 'one', name, 'control', which), { cwd: binary, env });
      await script('install');
      await assert.rejects(script('health'), `${name} is healthy before it runs`);
      const service = spawn(join(folder, 'one', name, 'control/start'), {
        cwd: binary,
        env,
        stdio: 'ignore',
        detached: true,
      });
      const ended = new Promise((done) => service.once('exit', done));
      const group = -(service.pid ?? assert.fail('it did not start'));
      try {
        const until = Date.now() + 15_000;
        while (
          !(await script('health').then(
            () => true,
            () => false,
          ))
        ) {
          assert.ok(Date.now() < until, `${name} does not become healthy`);
        }
        assert.ok((await findApplications(folder)).includes(service.pid ?? 0));
      } finally {
        process.kill(group, 'SIGTERM');
      }
      await ended;
      const until = Date.now() + 5000;
      while ((await findApplications(folder)).length > 0) assert.ok(Date.now() < until, `${name} leaves processes`);
    }
  });

  it('the Java meter counts on the runtime that was made for it', async (context) => {
    if (built.skipped.length > 0) {
      context.skip(built.skipped[0]?.reason);
      return;
    }
    const data = await mkdtemp(join(folder, 'data-'));
    const env = {
      PATH: `${join(folder, 'one/jvm/binary/bin')}:/usr/bin:/bin`,
      LEONORE_DATA_DIR: data,
      LEONORE_BINARY_DIR: join(folder, 'one/java-meter/binary'),
    };
    const script = (which: string) => run(join(folder, 'one/java-meter/control', which), { env });
    await script('install');
    const service = spawn(join(folder, 'one/java-meter/control/start'), { env, stdio: 'ignore', detached: true });
    const ended = new Promise((done) => service.once('exit', done));
    const until = Date.now() + 30_000;
    while (
      !(await script('health').then(
        () => true,
        () => false,
      ))
    )
      assert.ok(Date.now() < until, 'not healthy');
    process.kill(-(service.pid ?? assert.fail('it did not start')), 'SIGTERM');
    await ended;
    assert.match(await readFile(join(data, 'energy'), 'utf8'), /^\d+\.\d{6} Wh at /);
  });
});

async function digests(dir: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const entry of await readdir(dir, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    found[relative(dir, path)] = createHash('sha256')
      .update(await readFile(path))
      .digest('hex');
  }
  return found;
}
