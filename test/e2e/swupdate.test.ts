/**
 * Debian's unmodified SWUpdate against a real node: it takes images that LEONORE composes of applications and their
 * dependencies, and images of others as they are. Everything it touches lies in a temporary folder.
 */
import assert from 'node:assert/strict';
import { execFile, spawn, spawnSync } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { ddiDeploymentSchema, ddiPollSchema, isLeonoreError, type Task } from '@leonore/protocol';
import { startSite, temporaryFolder, waitFor, wordsOf, type Site } from '@leonore/testkit';

const missing = (['swupdate', 'cpio', 'openssl'] as const).filter(
  (program) => spawnSync(program, ['--version'], { stdio: 'ignore' }).error !== undefined,
);
const skip =
  missing.length > 0
    ? `${missing.join(' and ')} not installed; on Debian: apt-get install ${missing.join(' ')}`
    : false;

/** What SWUpdate says when it is done with an image. */
const SUCCESSFUL = /SWUPDATE successful !/;
const REFUSED = /Image invalid or corrupted/;

interface Outcome {
  readonly code: number;
  readonly output: string;
}

function run(program: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Outcome> {
  return new Promise((resolve) => {
    const options = { env: { ...process.env, ...env }, encoding: 'utf8' as const, timeout: 60_000, maxBuffer: 2 ** 25 };
    const child = execFile(program, args, options, (_error, stdout, stderr) =>
      resolve({ code: child.exitCode ?? -1, output: stdout + stderr }),
    );
  });
}

/** SWUpdate, until it is disposed of. One that ends by itself at the end of an update loses what it had to say of it. */
interface Daemon extends AsyncDisposable {
  readonly output: () => string;
}

function startSwupdate(dir: string, args: readonly string[]): Daemon {
  const child = spawn('swupdate', [...args, '-H', 'board:1.0', '-l', '5'], {
    env: { ...process.env, TMPDIR: join(dir, 'tmp') },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => (output = (output + chunk.toString()).slice(-100_000)));
  const exited = new Promise((resolve) => child.once('exit', resolve));
  return {
    output: () => output,
    async [Symbol.asyncDispose]() {
      const { pid } = child;
      if (pid === undefined) return;
      for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
        try {
          process.kill(-pid, signal);
        } catch {
          // Nobody is left of it.
        }
        await Promise.race([exited, new Promise((resolve) => setTimeout(resolve, 3000))]);
      }
    },
  };
}

/** A site whose node signs for SWUpdate, and the place where one gateway of that kind lives. */
interface Bench extends AsyncDisposable {
  readonly site: Site;
  readonly dir: string;
  readonly root: string;
  readonly cert: string;
  readonly key: string;
  /** What SWUpdate says of an image that it is given to install, or only to check. */
  swupdate(file: string, action: 'install' | 'check'): Promise<string>;
  /** `ROOT/leonore.sh ARGS` of the gateway. */
  call(...args: string[]): Promise<string[]>;
  noted(): Promise<string[]>;
  task(rollout: { id: number }): Promise<Task>;
}

async function startBench(): Promise<Bench> {
  await using stack = new AsyncDisposableStack();
  const { path: dir } = stack.use(await temporaryFolder('leonore-swu-'));
  const [key, cert, root] = [join(dir, 'key.pem'), join(dir, 'cert.pem'), join(dir, 'root')];
  const fresh = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  const made = await run('openssl', [...fresh, '-keyout', key, '-out', cert, '-days', '30', '-subj', '/CN=leonore']);
  assert.equal(made.code, 0, made.output);
  await mkdir(join(dir, 'tmp'));
  const site = stack.use(
    await startSite({ nodeArgs: ['--swu-key', key, '--swu-cert', cert, '--swu-root', root, '--poll', '1s'] }),
  );
  const call = async (...args: string[]) =>
    (await run('sh', [join(root, 'leonore.sh'), ...args])).output.split('\n').filter(Boolean);
  stack.defer(async () => {
    const there = await readFile(join(root, 'leonore.sh')).catch(() => undefined);
    if (!there) return;
    for (const line of (await call('status')).toReversed()) await call('stop', line.split(' ')[0] ?? '');
  });
  const resources = stack.move();
  return {
    site,
    dir,
    root,
    cert,
    key,
    async swupdate(file, action) {
      await using daemon = startSwupdate(dir, ['-k', cert]);
      await waitFor('SWUpdate to take the image', async () => {
        await run('swupdate-client', [...(action === 'check' ? ['-d'] : []), file], { TMPDIR: join(dir, 'tmp') });
        return daemon.output().includes('Incoming network request');
      });
      await waitFor('the end of the update', () => SUCCESSFUL.test(daemon.output()) || REFUSED.test(daemon.output()));
      return daemon.output();
    },
    call,
    noted: async () => (await readFile(join(dir, 'log'), 'utf8').catch(() => '')).split('\n').filter(Boolean),
    async task(rollout) {
      const tasks = await waitFor('the task', async () => {
        const found = await Array.fromAsync(site.client.rollouts.tasks(rollout.id).all());
        return found.length > 0 && found;
      });
      return site.client.task(tasks[0]!.id);
    },
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

/** An application whose control scripts note that they ran. */
function application(
  bench: Bench,
  name: string,
  version: string,
  more: Record<string, unknown>,
  own: Record<string, string> = {},
) {
  const note = `echo "$LEONORE_SCRIPT $LEONORE_NAME $LEONORE_VERSION" >> ${bench.dir}/log`;
  const scripts = { install: '', uninstall: '', stop: '', start: 'exec sleep 1000', ...own };
  return {
    manifest: { name, version, run: { restart: 'always', healthTimeoutSeconds: 5 }, ...more },
    binary: { 'bin/tool': `#!/bin/sh\necho ${name} ${version}\n`, data: Buffer.alloc(300_000, name) },
    control: {
      ...Object.fromEntries(Object.entries(scripts).map(([script, text]) => [script, `${note}\n${text}`])),
      health: own['health'] ?? `grep -q "start $LEONORE_NAME $LEONORE_VERSION" ${bench.dir}/log`,
    },
  };
}

async function gateway(
  bench: Bench,
  id: string,
  formats: readonly ('swu' | 'image')[] = ['swu', 'image'],
): Promise<void> {
  const profile = { os: 'linux', arch: 'x64', libc: 'glibc', formats: [...formats] };
  await bench.site.client.gateways.create({ id, token: `token-of-${id}`, profile });
}

/** Downloads what the gateway's task offers. */
async function download(
  bench: Bench,
  id: string,
): Promise<{ file: string; part: string; version: string; name: string }> {
  const headers = { authorization: `TargetToken token-of-${id}` };
  const base = `${bench.site.node.httpUrl}/default/controller/v1/${id}`;
  const href = await waitFor('the task to be offered', async () => {
    return ddiPollSchema.parse(await (await fetch(base, { headers })).json())._links?.deploymentBase?.href;
  });
  const document = ddiDeploymentSchema.parse(await (await fetch(href, { headers })).json());
  const chunk = document.deployment.chunks[0]!;
  const artifact = chunk.artifacts[0]!;
  const bytes = Buffer.from(await (await fetch(artifact._links['download-http']!.href, { headers })).arrayBuffer());
  assert.equal(bytes.length, artifact.size);
  const file = join(bench.dir, artifact.filename);
  await writeFile(file, bytes);
  return { file, part: chunk.part, version: chunk.version, name: chunk.name };
}

describe('an image composed for SWUpdate', { skip, timeout: 180_000 }, () => {
  let bench: Bench;
  let swu: string;
  before(async () => {
    bench = await startBench();
    await bench.site.publish(application(bench, 'lib', '1.0.0', {}));
    await bench.site.publish(application(bench, 'app', '1.0.0', { requires: { artifacts: { lib: '^1' } } }));
    await gateway(bench, 'swu');
    await bench.site.client.rollouts.create({ applications: [{ name: 'app' }], selector: 'id=swu' });
    ({ file: swu } = await download(bench, 'swu'));
  });
  after(() => bench[Symbol.asyncDispose]());

  it('is a cpio archive whose description comes first, and its signature is a CMS of the key', async () => {
    assert.match(swu, /\/p-[0-9a-f]{32}\.swu$/);
    const listed = spawnSync('cpio', ['-it', '--quiet'], { input: await readFile(swu), encoding: 'utf8' });
    assert.deepEqual(
      [listed.stdout.trim().split('\n'), listed.stderr],
      [['sw-description', 'sw-description.sig', 'leonore.sh', 'lib.tar.gz', 'app.tar.gz'], ''],
    );
    const unpacked = join(bench.dir, 'unpacked');
    await mkdir(unpacked);
    spawnSync('cpio', ['-id', '--quiet'], { input: await readFile(swu), cwd: unpacked });
    const signed = ['-in', join(unpacked, 'sw-description.sig'), '-content', join(unpacked, 'sw-description')];
    const verified = await run('openssl', [
      'cms',
      '-verify',
      '-binary',
      '-inform',
      'DER',
      ...signed,
      '-CAfile',
      bench.cert,
    ]);
    assert.equal(verified.code, 0, verified.output);
  });

  it('passes the check of SWUpdate, and not once a byte of it changed', async () => {
    assert.match(await bench.swupdate(swu, 'check'), SUCCESSFUL);
    const bytes = await readFile(swu);
    for (const at of [bytes.indexOf('archive'), bytes.indexOf('leonore: %s'), bytes.length - 2000]) {
      const broken = Buffer.from(bytes);
      broken[at] = (broken[at] ?? 0) ^ 1;
      const file = join(bench.dir, 'broken.swu');
      await writeFile(file, broken);
      const output = await bench.swupdate(file, 'check');
      assert.doesNotMatch(output, SUCCESSFUL);
      assert.match(output, REFUSED, `byte ${at}`);
    }
  });

  it('is installed with its dependency, in the order of need, and runs', async () => {
    assert.match(await bench.swupdate(swu, 'install'), SUCCESSFUL);
    assert.deepEqual(await bench.call('status'), ['lib 1.0.0 running', 'app 1.0.0 running']);
    assert.deepEqual(await bench.noted(), [
      'install lib 1.0.0',
      'install app 1.0.0',
      'start lib 1.0.0',
      'start app 1.0.0',
    ]);
  });
});

/** Its daemon for hawkBit. `confirm`: what it reports of the update before its start, as the bootloader's state would have it: 2 success, 3 failure. */
async function startDaemon(bench: Bench, id: string, confirm?: 2 | 3): Promise<Daemon> {
  const config = join(bench.dir, `${id}.cfg`);
  const identify = { os: 'linux', arch: 'x64', libc: 'glibc', formats: 'swu,image', hwRevision: '7' };
  await writeFile(
    config,
    `globals : { verbose = false; };\nidentify : (\n${Object.entries(identify)
      .map(([name, value]) => `  { name = "${name}"; value = "${value}"; }`)
      .join(',\n')}\n);\n`,
  );
  const suricatta = `-t default -u ${bench.site.node.httpUrl} -i ${id} -k token-of-${id} -p 1`;
  const hawkbit = ['-u', `${suricatta}${confirm === undefined ? '' : ` -c ${confirm}`}`];
  return startSwupdate(bench.dir, ['-f', config, '-k', bench.cert, ...hawkbit]);
}

describe("SWUpdate's daemon", { skip, timeout: 240_000 }, () => {
  let bench: Bench;
  let image: Buffer;
  before(async () => {
    bench = await startBench();
    image = await opaqueSwu(bench);
    await bench.site.publish({
      manifest: { name: 'press-os', version: '4.2.0', kind: 'image' },
      image: { 'press-4.2.swu': image },
    });
  });
  after(() => bench[Symbol.asyncDispose]());

  /** Lets the daemon work until the task's history says so. */
  async function until(task: Task, words: RegExp, id: string): Promise<void> {
    await using daemon = await startDaemon(bench, id);
    await waitFor(
      `task ${task.id} to say ${words}`,
      async () =>
        (await bench.site.client.task(task.id)).transitions?.some(({ messages }) =>
          messages.some((text) => words.test(text)),
        ),
      { timeoutMs: 60_000, describe: daemon.output },
    );
  }
  async function ended(task: Task, id: string, confirm: 2 | 3): Promise<Task> {
    await using daemon = await startDaemon(bench, id, confirm);
    return await waitFor(
      `task ${task.id} to end`,
      async () => {
        const now = await bench.site.client.task(task.id);
        return ['succeeded', 'failed'].includes(now.state) && now;
      },
      { timeoutMs: 60_000, describe: daemon.output },
    );
  }

  it('identifies itself, installs a composed image, reports success after its restart, and the failure of the next one', async () => {
    await bench.site.publish(application(bench, 'lib', '1.0.0', { platform: { os: 'linux', arch: 'x64' } }));
    await bench.site.publish(application(bench, 'app', '1.0.0', { requires: { artifacts: { lib: '^1' } } }));
    await bench.site.client.gateways.create({ id: 'pump', token: 'token-of-pump' });
    {
      await using daemon = await startDaemon(bench, 'pump');
      await waitFor('its attributes', async () => (await bench.site.client.gateways.get('pump')).profile.formats, {
        describe: daemon.output,
      });
    }
    const { profile } = await bench.site.client.gateways.get('pump');
    assert.deepEqual(
      [profile.os, profile.arch, profile.formats, profile.attributes['hwRevision']],
      ['linux', 'x64', ['swu', 'image'], '7'],
    );
    const rollout = await bench.site.client.rollouts.create({ applications: [{ name: 'app' }], selector: 'id=pump' });
    const task = await bench.task(rollout);
    await until(task, /All Chunks Installed/, 'pump');
    assert.deepEqual(await bench.call('status'), ['lib 1.0.0 running', 'app 1.0.0 running']);
    const done = await ended(task, 'pump', 2);
    assert.equal(done.state, 'succeeded', wordsOf([done]));
    const after = await bench.site.client.gateways.get('pump');
    assert.deepEqual(after.profile.installed?.map(({ name, version }) => `${name} ${version}`).toSorted(), [
      'app 1.0.0',
      'lib 1.0.0',
    ]);

    const bad = application(
      bench,
      'app',
      '2.0.0',
      { requires: { artifacts: { lib: '^1' } } },
      { install: 'echo no licence >&2; exit 3' },
    );
    await bench.site.publish(bad);
    const next = await bench.site.client.rollouts.create({
      applications: [{ name: 'app', range: '^2' }],
      selector: 'id=pump',
    });
    const failing = await bench.task(next);
    await using daemon = await startDaemon(bench, 'pump');
    const failed = await waitFor(
      'the failure',
      async () => {
        const now = await bench.site.client.task(failing.id);
        return now.state === 'failed' && now;
      },
      { timeoutMs: 60_000, describe: daemon.output },
    );
    const said = (failed.transitions ?? []).flatMap(({ messages }) => messages).join('\n');
    assert.match(said, /control\/install of app 2\.0\.0 ended with exit code 3/);
    assert.deepEqual(await bench.call('status'), ['lib 1.0.0 running', 'app 1.0.0 running']);
    assert.deepEqual((await bench.site.client.gateways.get('pump')).profile.installed?.length, 2);
  });

  it('is given an image of another maker untouched, as the module that it is', async () => {
    await gateway(bench, 'press', ['image']);
    const rollout = await bench.site.client.rollouts.create({
      applications: [{ name: 'press-os' }],
      selector: 'id=press',
    });
    const task = await bench.task(rollout);
    const offered = await download(bench, 'press');
    assert.deepEqual([offered.part, offered.name, offered.version], ['os', 'press-os', '4.2.0']);
    assert.equal(offered.file, join(bench.dir, 'press-4.2.swu'));
    assert.deepEqual(await readFile(offered.file), image);
    await until(task, /All Chunks Installed/, 'press');
    assert.equal(await readFile(join(bench.dir, 'firmware'), 'utf8'), 'firmware 4.2');
    const done = await ended(task, 'press', 2);
    assert.equal(done.state, 'succeeded', wordsOf([done]));
  });

  it('leaves out what its maintenance window forbids; that it calls this a success is not believed', async () => {
    await gateway(bench, 'night', ['image']);
    const opens = new Date(Date.now() + 6 * 3_600_000);
    const window = {
      schedule: `${opens.getUTCMinutes()} ${opens.getUTCHours()} * * *`,
      durationSeconds: 3600,
      timezone: '+00:00',
    };
    const rollout = await bench.site.client.rollouts.create({
      applications: [{ name: 'press-os' }],
      selector: 'id=night',
      handling: { mode: 'forced', confirm: false, window },
    });
    const task = await bench.task(rollout);
    await until(task, /its maintenance window was not open yet/, 'night');
    assert.equal((await bench.site.client.task(task.id)).state, 'offered');
    assert.equal((await bench.site.client.gateways.get('night')).profile.installed, undefined);
  });

  it('is not given an image that is larger than what it can hold', async () => {
    await bench.site.client.gateways.create({
      id: 'small',
      token: 't',
      profile: { formats: ['image'], disk: { total: 100, free: 100 } },
    });
    const rollout = bench.site.client.rollouts.create({
      applications: [{ name: 'press-os' }],
      selector: 'id=small',
    });
    await assert.rejects(rollout, (error: unknown) => {
      assert.ok(isLeonoreError(error, 'plan.unsatisfiable'));
      assert.match(JSON.stringify(error.details), /press-os 4\.2\.0 needs at least [^"]* of disk; the gateway has 100/);
      return true;
    });
  });
});

/** A `.swu` as its maker makes it, with SWUpdate's own tools: it writes one file. */
async function opaqueSwu({ dir, key, cert }: Bench): Promise<Buffer> {
  const cwd = join(dir, 'maker');
  await mkdir(cwd);
  await writeFile(join(cwd, 'firmware.bin'), 'firmware 4.2');
  const { output } = await run('sha256sum', [join(cwd, 'firmware.bin')]);
  await writeFile(
    join(cwd, 'sw-description'),
    `software = { version = "4.2"; hardware-compatibility = [ "1.0" ];
      files: ( { filename = "firmware.bin"; path = "${join(dir, 'firmware')}"; sha256 = "${output.slice(0, 64)}"; } ); };`,
  );
  const files = ['-in', join(cwd, 'sw-description'), '-out', join(cwd, 'sw-description.sig')];
  const how = ['-signer', cert, '-inkey', key, '-outform', 'DER', '-nosmimecap', '-binary'];
  const signed = await run('openssl', ['cms', '-sign', ...files, ...how]);
  assert.equal(signed.code, 0, signed.output);
  const names = 'sw-description\nsw-description.sig\nfirmware.bin\n';
  return spawnSync('cpio', ['-o', '-H', 'crc', '--quiet'], { cwd, input: names }).stdout;
}
