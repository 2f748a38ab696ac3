/** The install script as a node serves it, run for real: by the shells that gateways have, below a folder in place of `/`. */
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { access, mkdir, readFile, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { freePort, startSite, waitFor, wordsOf, type Site } from '@leonore/testkit';
import { AGENT_DIST, buildAgent } from '../../scripts/build-agent.ts';
import { service } from './applications.ts';
import { newMachine, type Machine } from './agent-setup-rig.ts';
import { oldNode } from './old-node.ts';

const run = promisify(execFile);
const SETUP = fileURLToPath(new URL('../../packages/agent/setup/', import.meta.url));
const isHere = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );
const busybox = await isHere('/usr/bin/busybox');
const dash = await isHere('/usr/bin/dash');
const noShellcheck = !(await isHere('/usr/bin/shellcheck')) && 'shellcheck is not installed';
const noSystemd = !(await isHere('/usr/bin/systemd-analyze')) && 'systemd is not installed';
const old = await oldNode();
const noNode = old.skip && 'there is no Node of 20.19 or newer beside the one of this project';

const SHELLS = [
  { name: 'dash', shell: ['/usr/bin/dash'] as const, skip: !dash && 'dash is not installed' },
  { name: 'busybox ash', shell: ['/usr/bin/busybox', 'ash'] as const, skip: !busybox && 'busybox is not installed' },
];
const REMOVER = 'usr/local/sbin/leonore-agent-uninstall';
const CONF = 'etc/leonore/agent.conf';

describe('the install script', () => {
  let site: Site;
  let script: string;
  let token: string;
  before(async () => {
    await buildAgent(AGENT_DIST);
    site = await startSite();
    token = (await site.client.tokens.create({ uses: 50 })).token ?? '';
    await site.publish(service('meter', '1.0.0'));
  });
  beforeEach(async () => {
    script = await (await fetch(`${site.node.httpUrl}/gateway/v1/install.sh`)).text();
  });
  after(() => site[Symbol.asyncDispose]());

  const gatewayIsHere = (id: string) =>
    waitFor(`gateway ${id} to be there`, () => site.client.gateways.get(id).catch(() => undefined));
  const provision = async (id: string) => {
    await site.client.gateways.label(id, { only: id });
    const { rollout, tasks } = await site.provision({ applications: [{ name: 'meter' }], selector: `only=${id}` });
    assert.equal(rollout.state, 'succeeded', wordsOf(tasks));
  };

  describe('is served with the files that it fetches', () => {
    it('with their digests as entity tags, to anybody, with the address that was asked', async () => {
      assert.match(script, new RegExp(`^SERVER='${site.node.httpUrl}'$`, 'm'));
      const sums = [...script.matchAll(/^([0-9a-f]{64}) (\S+)$/gm)];
      assert.ok(sums.some(([, , name]) => name === 'leonore-agent.js'));
      for (const [, sum, name] of sums) {
        const url = `${site.node.httpUrl}/gateway/v1/agent/${name}`;
        const answer = await fetch(url);
        const bytes = Buffer.from(await answer.arrayBuffer());
        assert.equal(createHash('sha256').update(bytes).digest('hex'), sum, name);
        assert.equal(answer.headers.get('etag'), `"${sum}"`);
        const again = await fetch(url, { headers: { 'if-none-match': `"${sum}"` } });
        assert.equal(again.status, 304);
      }
      for (const name of ['install.sh', 'admin-token', '..%2fpackage.json', 'constructor']) {
        const { status } = await fetch(`${site.node.httpUrl}/gateway/v1/agent/${name}`);
        assert.equal(status, 404, name);
      }
    });

    it('believes a proxy that is trusted, and lets no Host into the shell', async () => {
      const get = (words: string[]) =>
        run('curl', ['-s', ...words, `${site.node.httpUrl}/gateway/v1/install.sh`]).then(({ stdout }) => stdout);
      const forwarded = ['-H', 'X-Forwarded-Proto: https', '-H', 'X-Forwarded-Host: node.example'];
      assert.match(await get(forwarded), new RegExp(`^SERVER='${site.node.httpUrl}'$`, 'm'));
      assert.match(await get(['-H', `Host: x'; reboot; '`]), /request\.invalid/);
      await using proxied = await startSite({ nodeArgs: ['--trust-proxy'] });
      const { stdout } = await run('curl', ['-s', ...forwarded, `${proxied.node.httpUrl}/gateway/v1/install.sh`]);
      assert.match(stdout, /^SERVER='https:\/\/node\.example'$/m);
    });

    it('has nothing that shellcheck finds', { skip: noShellcheck }, async () => {
      for (const name of ['install.sh', 'leonore-agent-uninstall', 'leonore-agent-lite-start', 'leonore-agent.init'])
        await run('shellcheck', ['-s', 'sh', join(SETUP, name)]);
    });
  });

  const kinds = [
    { kind: 'the agent', words: [] as string[], lacks: noNode },
    { kind: 'agent-lite', words: ['--lite'], lacks: false as const },
  ];
  for (const { name, shell, skip } of SHELLS) {
    for (const [at, { kind, words, lacks }] of kinds.entries()) {
      // Each shell, each agent, each service manager twice.
      const init = at === Number(name !== 'dash') ? 'systemd' : 'sysv';
      it(`sets up ${kind} in ${name} with ${init}, updates it, and takes all of it away`, {
        skip: skip || lacks,
      }, async () => {
        await using machine = await newMachine(init);
        const id = `gw-${name.slice(0, 3)}-${init}-${at}`;
        const clean = await machine.paths();
        const first = ['--token', token, '--id', id, '--label', 'site=vienna', '--poll', '1s', ...words];
        const installed = await machine.install(script, first, { shell: [...shell] });
        assert.equal(installed.code, 0, installed.text);
        assert.ok(
          installed.text.includes(`done: this machine is gateway ${id} of ${site.node.httpUrl}`),
          installed.text,
        );
        await gatewayIsHere(id);
        assert.ok(!(await holds(machine, token)), 'the token was stored');
        await provision(id);
        assert.ok((await machine.processes()).length > 0);

        const again = await machine.install(script, ['--label', 'site=graz'], { shell: [...shell] });
        assert.equal(again.code, 0, again.text);
        assert.match(again.text, /updating .*\n.*enrolled already/);
        const conf = (await machine.read(CONF)).split('\n').slice(1).filter(Boolean).toSorted();
        assert.deepEqual(conf, [
          `id=${id}`,
          'label=site=graz',
          'poll=1s',
          `root=${machine.prefix}/var/lib/leonore-agent`,
          `server=${site.node.httpUrl}`,
        ]);
        await waitFor('the new label', async () => {
          const { profile } = await site.client.gateways.get(id);
          return profile.labels.site === 'graz';
        });

        const removed = await machine.call(join(machine.prefix, REMOVER));
        assert.equal(removed.code, 0, removed.text);
        await rm(join(machine.prefix, 'told'), { force: true });
        assert.deepEqual(await machine.paths(), clean);
        assert.deepEqual(await machine.processes(), []);
      });
    }
  }

  it('keeps what applications have written, when told to, and goes on with it', { skip: noNode }, async () => {
    await using machine = await newMachine('sysv');
    const words = ['--token', token, '--id', 'gw-keeps', '--poll', '1s'];
    assert.equal((await machine.install(script, words)).code, 0);
    await gatewayIsHere('gw-keeps');
    await provision('gw-keeps');
    const removed = await machine.install(script, ['--uninstall', '--keep-data']);
    assert.equal(removed.code, 0, removed.text);
    assert.deepEqual(await machine.processes(), []);
    assert.equal(await machine.read('var/lib/leonore-agent/data/meter/events'), 'start 1.0.0\n');
    const back = await machine.install(script, ['--id', 'gw-keeps']);
    assert.equal(back.code, 0, back.text);
    assert.match(back.text, /enrolled already/);
  });

  it('writes a unit that systemd understands', { skip: noSystemd }, async () => {
    await using machine = await newMachine('systemd');
    const { code, text } = await machine.install(script, ['--token', token, '--id', 'gw-unit', '--lite']);
    assert.equal(code, 0, text);
    const told = await machine.read('told');
    assert.match(
      told,
      /^daemon-reload\nenable --quiet leonore-agent\.service\nrestart leonore-agent\.service\nis-active/,
    );
    const unit = join(machine.prefix, 'etc/systemd/system/leonore-agent.service');
    const { stdout, stderr } = await run('systemd-analyze', ['verify', '--man=no', unit]);
    assert.equal(`${stdout}${stderr}`, '');
    for (const line of ['KillMode=process', 'OOMPolicy=continue', 'NoNewPrivileges=yes', 'ProtectHome=yes'])
      assert.ok((await readFile(unit, 'utf8')).includes(`\n${line}\n`), line);
  });

  it('ends a broken-off installation with the next one', async () => {
    await using machine = await newMachine('none');
    const clean = await machine.paths();
    // Killed in the middle: what it had noted is there, the end is not.
    await machine.program('tail', '#!/bin/sh\nkill -KILL $PPID\n');
    await machine.install(script, ['--token', 'wrong', '--id', 'gw-broken', '--lite']);
    assert.notDeepEqual(await machine.paths(), clean);
    await rm(join(machine.bin, 'tail'));
    const { code, text } = await machine.install(script, ['--token', token, '--id', 'gw-broken', '--lite']);
    assert.equal(code, 0, text);
    assert.match(text, /nothing starts it at boot/);
    assert.equal((await machine.call(join(machine.prefix, REMOVER))).code, 0);
    assert.deepEqual(await machine.paths(), clean);
  });

  describe('says what is wrong and leaves nothing', () => {
    const cases: {
      what: string;
      words?: string[];
      says: RegExp;
      prepare?: (machine: Machine) => Promise<unknown>;
      script?: () => Promise<string>;
      code?: number;
      path?: true;
    }[] = [
      { what: 'no token', says: /error: no token: .*leonore gateway token create/ },
      { what: 'a token that is refused', words: ['--token', 'wrong'], says: /error: the node refused the token/ },
      { what: 'an unknown option', words: ['--tokn', 'x'], says: /error: there is no option --tokn\nUsage/, code: 2 },
      { what: 'no value', words: ['--token'], says: /error: --token needs a value/, code: 2 },
      {
        what: 'a folder of somebody else',
        words: ['--token', 't'],
        says: /is there already and is no agent's/,
        prepare: (machine) => mkdir(join(machine.prefix, 'var/lib/leonore-agent/photos'), { recursive: true }),
      },
      {
        what: 'a node that is not reached',
        words: ['--token', 't'],
        says: /http:\/\/127\.0\.0\.1:\d+\/gateway\/v1\/agent\/\S+ cannot be had.*Is the node running/,
        script: async () => script.replaceAll(site.node.httpUrl, `http://127.0.0.1:${await freePort()}`),
      },
      {
        what: 'bytes that were changed on the way',
        words: ['--token', 't'],
        says: /arrived as other bytes than the node has/,
        prepare: (machine) =>
          machine.program(
            'curl',
            '#!/bin/sh\nwhile [ $# -gt 1 ]; do [ "$1" != -o ] || echo "echo evil" >"$2"; shift; done\n',
          ),
      },
      {
        what: 'a full disk',
        words: ['--token', 't'],
        says: /has 12 kB free, and .* takes \d+ kB; make room/,
        prepare: (machine) =>
          machine.program('df', '#!/bin/sh\necho Filesystem 1024-blocks Used Available\necho x 100 88 12\n'),
      },
      {
        what: 'a disk that cannot be written',
        words: ['--token', 't'],
        says: /cannot be made: Read-only file system\. This file system is read-only/,
        prepare: (machine) =>
          machine.program(
            'mkdir',
            '#!/bin/sh\necho "mkdir: cannot create directory: Read-only file system" >&2\nexit 1\n',
          ),
      },
      {
        what: 'what agent-lite needs is not there',
        words: ['--token', 't', '--lite'],
        says: /agent-lite needs what is not here: setsid\. Install/,
        prepare: withoutSetsid,
        path: true,
      },
    ];
    for (const { what, words = [], says, prepare, code = 1, ...more } of cases) {
      it(what, async () => {
        await using machine = await newMachine('none');
        await prepare?.(machine);
        const clean = await machine.paths();
        const said = await machine.install(
          (await more.script?.()) ?? script,
          ['--id', 'gw-no', ...words],
          more.path ? { env: { PATH: machine.bin } } : {},
        );
        assert.match(said.text, says);
        assert.equal(said.code, code, said.text);
        assert.deepEqual(await machine.paths(), clean);
        assert.deepEqual(await machine.processes(), []);
      });
    }
    it('without root, when it is to go to /', { skip: process.getuid?.() !== 0 && 'this takes root' }, () => {
      const call = () =>
        execFileSync('setpriv', ['--reuid=65534', '--clear-groups', '/bin/sh', '-s', '--', '--token', 't'], {
          input: script,
          env: { PATH: '/usr/bin:/bin' },
          stdio: 'pipe',
          encoding: 'utf8',
        });
      assert.throws(call, { status: 1, stderr: /error: this takes root: run it with sudo/ });
    });
    it('a script that breaks off on its way does nothing', async () => {
      await using machine = await newMachine('none');
      const clean = await machine.paths();
      for (const part of [0.3, 0.6, 0.9]) {
        await machine.install(script.slice(0, script.length * part), ['--token', token, '--id', 'gw-half', '--lite']);
        assert.deepEqual(await machine.paths(), clean);
      }
    });
  });
});

/** Programs that there are on any machine, but for setsid. */
const TOOLS = `awk cat chmod cp curl cut df env find grep gzip head id ln ls mkdir mkfifo mv od paste ps readlink rm rmdir sed sh
sha256sum sleep sort tail tar timeout tr uname`;

async function withoutSetsid(machine: Machine): Promise<void> {
  for (const name of TOOLS.split(/\s+/)) await symlink(join('/usr/bin', name), join(machine.bin, name));
}

async function holds(machine: Machine, secret: string): Promise<boolean> {
  const { text } = await machine.call('grep', ['-rlF', '--', secret, machine.prefix]);
  return text.trim() !== '';
}
