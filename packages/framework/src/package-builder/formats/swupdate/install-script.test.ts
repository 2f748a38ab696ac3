import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, readlink, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { waitFor } from '@leonore/testkit';
import { packComponent, type PackedComponent, type TestApplication } from './testing/components.ts';
import { scriptGateway, type ScriptGateway } from './testing/gateway.ts';

const RUN = { restart: 'always', healthTimeoutSeconds: 3, stopTimeoutSeconds: 3 };
const SHELLS: readonly (readonly [string, ...string[]])[] = [['sh'], ['busybox', 'sh']];

/** Every control script notes that it ran. */
function control(gateway: ScriptGateway, own: Readonly<Record<string, string>> = {}): Record<string, string> {
  const note = `echo "$LEONORE_SCRIPT $LEONORE_NAME $LEONORE_VERSION" >> ${gateway.dir}/log`;
  const all = { install: '', stop: '', health: '', uninstall: '', start: 'exec sleep 300', ...own };
  return Object.fromEntries(
    Object.entries(all).map(([name, text]) => [name, name === 'health' ? text || 'true' : `${note}\n${text}`]),
  );
}

async function application(gateway: ScriptGateway, wanted: TestApplication): Promise<PackedComponent> {
  await mkdir(join(gateway.dir, 'sources'), { recursive: true });
  return packComponent(join(gateway.dir, 'sources'), wanted);
}

const status = async (gateway: ScriptGateway) => (await gateway.call('status')).said.split('\n').filter(Boolean);

for (const shell of SHELLS) {
  const missing = spawnSync(shell[0], ['--help'], { stdio: 'ignore' }).error !== undefined;
  const skip = missing ? `${shell[0]} is not installed; on Debian: apt-get install ${shell[0]}` : false;
  describe(`leonore.sh in ${shell.join(' ')}`, { skip, concurrency: 4 }, () => {
    it('installs and starts in the order of need, and the new version replaces the old one', async () => {
      await using gateway = await scriptGateway(shell);
      const lib = await application(gateway, { name: 'lib', run: RUN, control: control(gateway) });
      const app = await application(gateway, { name: 'app', needs: ['lib'], run: RUN, control: control(gateway) });
      const first = await gateway.install({ components: [lib, app] });
      assert.deepEqual([first.code, first.errors], [0, ''], first.said);
      await waitFor('both to run', async () => (await gateway.log()).length === 4);
      assert.deepEqual(
        (await gateway.log()).filter((line) => line.startsWith('install')),
        ['install lib 1.0.0', 'install app 1.0.0'],
      );
      assert.deepEqual(await status(gateway), ['lib 1.0.0 running', 'app 1.0.0 running']);

      await gateway.forget();
      const newer = await application(gateway, { name: 'lib', version: '2.0.0', run: RUN, control: control(gateway) });
      const second = await gateway.install({ components: [newer], keep: [{ name: 'app', version: '1.0.0' }] });
      assert.equal(second.code, 0, second.errors);
      await waitFor('both to run again', async () => (await gateway.log()).length === 5);
      assert.deepEqual((await gateway.log()).slice(0, 3), ['stop app 1.0.0', 'stop lib 1.0.0', 'install lib 2.0.0']);
      assert.deepEqual(await status(gateway), ['lib 2.0.0 running', 'app 1.0.0 running']);
      assert.deepEqual(
        await readdir(join(gateway.root, 'components/lib')).then((all) => all.length),
        2,
        'one version and "current"',
      );
    });

    it('does nothing twice: the same package again leaves what runs alone', async () => {
      await using gateway = await scriptGateway(shell);
      const app = await application(gateway, { name: 'app', run: RUN, control: control(gateway) });
      assert.equal((await gateway.install({ components: [app] })).code, 0);
      await waitFor('it to run', async () => (await gateway.log()).length === 2);
      const pid = await readFile(join(gateway.root, 'run/app.pid'), 'utf8');
      assert.equal((await gateway.install({ components: [app] })).code, 0);
      assert.equal(await readFile(join(gateway.root, 'run/app.pid'), 'utf8'), pid);
      assert.deepEqual(await gateway.log(), ['install app 1.0.0', 'start app 1.0.0']);
    });

    it('gives control scripts the environment that LEONORE promises, and no other', async () => {
      await using gateway = await scriptGateway(shell);
      const lib = await application(gateway, { name: 'lib-x.y', binary: { data: 'd' } });
      const value = `it's "a" $HOME \\ \`x\`\n`;
      const app = await application(gateway, {
        name: 'app',
        version: '1.0.1',
        needs: ['lib-x.y'],
        installPath: join(gateway.dir, 'opt/app'),
        run: { ...RUN, env: { ODD: value, LEONORE_NAME: 'mine' } },
        control: {
          start: `env -0 > "$LEONORE_DATA_DIR/env.new"; mv "$LEONORE_DATA_DIR/env.new" "$LEONORE_DATA_DIR/env"; pwd > ${gateway.dir}/pwd; exec sleep 300`,
        },
      });
      await mkdir(gateway.root, { recursive: true });
      await writeFile(join(gateway.root, 'gateway-id'), 'gw-7\n');
      const outcome = await gateway.install({ components: [lib, app] });
      assert.equal(outcome.code, 0, outcome.errors);
      const text = await waitFor('the environment', () =>
        readFile(join(gateway.root, 'data/app/env'), 'utf8').catch(() => undefined),
      );
      const env = Object.fromEntries(
        text
          .split('\0')
          .filter(Boolean)
          .map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]),
      );
      const folder = (await readFile(join(gateway.root, 'components/app/current'), 'utf8')).trim();
      const at = join(gateway.root, 'components/app', folder);
      const libBinary = join(
        gateway.root,
        'components/lib-x.y',
        (await readFile(join(gateway.root, 'components/lib-x.y/current'), 'utf8')).trim(),
        'binary/lib-x.y',
      );
      const { PWD: _, OLDPWD: __, SHLVL: ___, _: ____, ...clear } = env;
      assert.deepEqual(clear, {
        ODD: value,
        PATH: `${libBinary}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
        HOME: join(gateway.root, 'data/app'),
        LANG: 'C.UTF-8',
        TMPDIR: join(gateway.root, 'tmp'),
        LEONORE_NAME: 'app',
        LEONORE_VERSION: '1.0.1',
        LEONORE_SCRIPT: 'start',
        LEONORE_GATEWAY_ID: 'gw-7',
        LEONORE_BINARY_DIR: join(at, 'binary/app'),
        LEONORE_CONTROL_DIR: join(at, 'control/app'),
        LEONORE_DATA_DIR: join(gateway.root, 'data/app'),
        LEONORE_INSTALL_PATH: join(gateway.dir, 'opt/app'),
        LEONORE_PATH_LIB_X_Y: libBinary,
      });
      assert.equal(await readlink(join(gateway.dir, 'opt/app')), join(at, 'binary/app'));
    });

    for (const [what, broken, words] of [
      [
        'control/install fails',
        { install: 'echo no licence >&2; exit 3' },
        /control\/install of app 2\.0\.0 ended with exit code 3/,
      ],
      [
        'it is not healthy',
        { health: 'echo port 80 is taken; exit 1' },
        /port 80 is taken[^]*app 2\.0\.0 was not healthy within 3 s/,
      ],
      [
        'it ends at once',
        { start: 'echo bad configuration; exit 9', health: 'exit 1' },
        /bad configuration[^]*app 2\.0\.0 ended with exit code 9/,
      ],
    ] as const) {
      it(`takes everything back when ${what}`, async () => {
        await using gateway = await scriptGateway(shell);
        const path = join(gateway.dir, 'opt/app');
        const app = await application(gateway, { name: 'app', run: RUN, installPath: path, control: control(gateway) });
        const user = await application(gateway, { name: 'user', needs: ['app'], run: RUN, control: control(gateway) });
        assert.equal((await gateway.install({ components: [app, user] })).code, 0);
        const linked = await readlink(path);
        await gateway.forget();
        const bad = await application(gateway, {
          name: 'app',
          version: '2.0.0',
          run: RUN,
          installPath: path,
          control: control(gateway, broken),
        });
        const extra = await application(gateway, { name: 'extra', control: control(gateway) });
        const outcome = await gateway.install({ components: [extra, bad], keep: [{ name: 'user', version: '1.0.0' }] });
        assert.equal(outcome.code, 1);
        assert.match(outcome.errors, words);
        assert.deepEqual(await status(gateway), ['app 1.0.0 running', 'user 1.0.0 running']);
        assert.equal(await readlink(path), linked);
        assert.deepEqual((await readdir(join(gateway.root, 'components'))).toSorted(), ['app', 'user']);
        assert.deepEqual((await readdir(join(gateway.root, 'data'))).toSorted(), ['app', 'user']);
        assert.equal(existsSync(linked), true);
      });
    }

    it('removes after everything else went well, what needs others first', async () => {
      await using gateway = await scriptGateway(shell);
      const path = join(gateway.dir, 'opt/b');
      const a = await application(gateway, { name: 'b', run: RUN, installPath: path, control: control(gateway) });
      const b = await application(gateway, { name: 'a', needs: ['b'], run: RUN, control: control(gateway) });
      const c = await application(gateway, { name: 'c', run: RUN, control: control(gateway) });
      assert.equal((await gateway.install({ components: [a, b, c] })).code, 0);
      await waitFor('all to run', async () => (await gateway.log()).length === 6);
      await gateway.forget();
      const remove = [
        { name: 'a', version: '1.0.0' },
        { name: 'b', version: '1.0.0' },
      ];
      const outcome = await gateway.install({ remove, keep: [{ name: 'c', version: '1.0.0' }] });
      assert.equal(outcome.code, 0, outcome.errors);
      assert.deepEqual(await gateway.log(), ['stop a 1.0.0', 'stop b 1.0.0', 'uninstall a 1.0.0', 'uninstall b 1.0.0']);
      assert.deepEqual(await status(gateway), ['c 1.0.0 running']);
      assert.deepEqual(await readdir(join(gateway.root, 'data')), ['c']);
      assert.equal(existsSync(path), false);
    });

    it('refuses a package for a gateway that has other things, before it touches anything', async () => {
      await using gateway = await scriptGateway(shell);
      const app = await application(gateway, { name: 'app', run: RUN, control: control(gateway) });
      assert.equal((await gateway.install({ components: [app] })).code, 0);
      await waitFor('it to run', async () => (await gateway.log()).length === 2);
      const other = await application(gateway, { name: 'other', needs: ['lib'] });
      const keep = [{ name: 'lib', version: '1.0.0' }];
      const outcome = await gateway.install({ components: [other], keep });
      assert.equal(outcome.code, 1);
      assert.match(outcome.errors, /expects lib 1\.0\.0 to be there already, but nothing is/);
      assert.deepEqual(await readdir(join(gateway.root, 'components')), ['app']);
      const older = await gateway.install({ components: [other], keep: [{ name: 'app', version: '0.9.0' }] });
      assert.match(older.errors, /expects app 0\.9\.0 to be there already, but 1\.0\.0 is/);
      assert.equal((await gateway.log()).length, 2);
    });

    it('leaves alone what somebody else has put at an install path', async () => {
      await using gateway = await scriptGateway(shell);
      const path = join(gateway.dir, 'opt');
      await symlink('/nowhere', path);
      const app = await application(gateway, { name: 'app', installPath: path, binary: { x: 'x' } });
      const outcome = await gateway.install({ components: [app] });
      assert.equal(outcome.code, 1);
      assert.match(outcome.errors, /opt is there already and was not made by LEONORE/);
      assert.equal(await readlink(path), '/nowhere');
    });

    it('finds that a file was not unpacked whole', async () => {
      await using gateway = await scriptGateway(shell);
      const app = await application(gateway, {
        name: 'app',
        run: RUN,
        control: control(gateway),
        binary: { 'a b': 'content' },
      });
      const at = join(gateway.root, 'components/app');
      const meddle = async () => truncate(join(at, (await readdir(at))[0] ?? '', 'binary/app/a b'), 3);
      const outcome = await gateway.install({ components: [app], meddle });
      assert.equal(outcome.code, 1);
      assert.match(outcome.errors, /app was not unpacked whole: [^]*a b/);
      assert.deepEqual(await gateway.log(), []);
      assert.deepEqual(await status(gateway), []);
    });

    it('recovers from a power cut in the middle, and takes the same package then', async () => {
      await using gateway = await scriptGateway(shell);
      const app = await application(gateway, { name: 'app', run: RUN, control: control(gateway) });
      assert.equal((await gateway.install({ components: [app] })).code, 0);
      const mark = join(gateway.dir, 'installing');
      const newer = await application(gateway, {
        name: 'app',
        version: '2.0.0',
        run: RUN,
        control: control(gateway, { install: `[ -e ${mark} ] || { touch ${mark}; sleep 60; }` }),
      });
      await gateway.install({ components: [newer], cutPowerAt: mark });
      const boot = await gateway.call('boot');
      assert.match(boot.said, /taking back an update that was broken off: app/);
      assert.deepEqual(await status(gateway), ['app 1.0.0 running']);
      const again = await gateway.install({ components: [newer] });
      assert.equal(again.code, 0, again.errors);
      assert.deepEqual(await status(gateway), ['app 2.0.0 running']);
    });

    it('starts an application again that ended, and stops it for good', async () => {
      await using gateway = await scriptGateway(shell);
      const own = { start: 'echo $$ > "$LEONORE_DATA_DIR/pid"; exec sleep 300' };
      const app = await application(gateway, { name: 'app', run: RUN, control: control(gateway, own) });
      assert.equal((await gateway.install({ components: [app] })).code, 0);
      const pidFile = join(gateway.root, 'data/app/pid');
      const pidOf = () => readFile(pidFile, 'utf8').then(Number);
      const first = await waitFor('it to run', () => pidOf().catch(() => undefined));
      process.kill(first, 'SIGKILL');
      const second = await waitFor('it to run again', async () => ((await pidOf()) === first ? undefined : pidOf()));
      await gateway.call('stop', 'app');
      assert.throws(() => process.kill(second, 0));
      assert.deepEqual(await status(gateway), ['app 1.0.0 stopped']);
    });
  });
}
