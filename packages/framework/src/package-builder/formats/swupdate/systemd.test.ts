/** leonore.sh where systemd is: in a mount namespace of its own, with a stand-in for systemctl that only notes its calls. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { packComponent } from './testing/components.ts';
import { scriptGateway } from './testing/gateway.ts';

const works = (command: string, ...args: string[]) => spawnSync(command, args, { stdio: 'ignore' }).status === 0;
const skip =
  works('unshare', '-m', 'true') && works('systemd-analyze', '--version')
    ? false
    : 'needs root, unshare and systemd-analyze; on Debian: apt-get install util-linux systemd';

describe('leonore.sh with systemd', { skip }, () => {
  let dir: string;
  let shell: readonly [string, ...string[]];
  const calls = async () => {
    const text = await readFile(join(dir, 'calls'), 'utf8').catch(() => '');
    await rm(join(dir, 'calls'), { force: true });
    return text.split('\n').filter(Boolean);
  };
  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'leonore-systemd-'));
    await mkdir(join(dir, 'units'));
    await writeFile(join(dir, 'systemctl'), `#!/bin/sh\necho "$*" >> ${dir}/calls\n`, { mode: 0o755 });
    const mounts = [
      `mount --bind ${dir}/units /etc/systemd/system`,
      'mount -t tmpfs none /run',
      'mkdir -p /run/systemd/system',
      `mount --bind ${dir}/systemctl "$(command -v systemctl)"`,
    ];
    shell = ['unshare', '-m', 'sh', '-c', `${mounts.join(' && ')} && exec sh "$@"`, 'sh'];
  });
  after(() => rm(dir, { recursive: true, force: true }));

  it('makes a unit of what runs, which systemd understands, and takes it away with it', async () => {
    await using gateway = await scriptGateway(shell);
    await mkdir(join(gateway.dir, 'sources'));
    const pack = (wanted: Parameters<typeof packComponent>[1]) => packComponent(join(gateway.dir, 'sources'), wanted);
    const control = {
      start: `echo "$LEONORE_SCRIPT $LEONORE_VERSION" > ${gateway.dir}/said`,
      stop: `echo stop > ${gateway.dir}/said`,
      health: 'true',
    };
    const lib = await pack({ name: 'lib', control: { health: 'true' } });
    const app = await pack({
      name: 'app',
      needs: ['lib'],
      run: { restart: 'on-failure', stopTimeoutSeconds: 7 },
      control,
    });
    const first = await gateway.install({ components: [lib, app] });
    assert.equal(first.code, 0, first.errors);
    const stops = (await calls()).filter((call) => !call.startsWith('stop'));
    assert.deepEqual(stops, ['daemon-reload', 'enable leonore-app.service', 'start leonore-app.service']);
    const unit = join(dir, 'units/leonore-app.service');
    const text = await readFile(unit, 'utf8');
    for (const line of [
      'Description=app 1.0.0 (LEONORE)',
      'Restart=on-failure',
      'TimeoutStopSec=7',
      'WantedBy=multi-user.target',
    ])
      assert.ok(text.includes(`${line}\n`), text);
    const verified = spawnSync('systemd-analyze', ['verify', '--man=no', unit], { encoding: 'utf8' });
    assert.doesNotMatch(verified.stderr, /leonore-app/);

    assert.equal((await gateway.call('run', 'app')).code, 0);
    assert.equal(await readFile(join(gateway.dir, 'said'), 'utf8'), 'start 1.0.0\n');
    assert.equal((await gateway.call('control', 'app', 'stop')).code, 0);
    assert.equal(await readFile(join(gateway.dir, 'said'), 'utf8'), 'stop\n');

    await calls();
    const gone = await gateway.install({
      keep: [{ name: 'lib', version: '1.0.0' }],
      remove: [{ name: 'app', version: '1.0.0' }],
    });
    assert.equal(gone.code, 0, gone.errors);
    assert.deepEqual(await calls(), ['stop leonore-app.service', 'disable leonore-app.service', 'daemon-reload']);
    assert.deepEqual(await readdir(join(dir, 'units')), []);
  });

  it('takes back what ends at once, as systemd tells it', async () => {
    await using gateway = await scriptGateway(shell);
    await mkdir(join(gateway.dir, 'sources'));
    const ended = `EXIT_STATUS=9 SERVICE_RESULT=exit-code sh ${gateway.root}/leonore.sh ended app; exit 1`;
    const run = { healthTimeoutSeconds: 5 };
    const app = await packComponent(join(gateway.dir, 'sources'), {
      name: 'app',
      run,
      control: { start: 'exit 9', health: ended },
    });
    const outcome = await gateway.install({ components: [app] });
    assert.equal(outcome.code, 1);
    assert.match(outcome.errors, /app 1\.0\.0 ended with exit code 9 right after its start/);
    assert.deepEqual(await readdir(join(dir, 'units')), []);
    assert.deepEqual(await readdir(join(gateway.root, 'components')), []);
  });
});
