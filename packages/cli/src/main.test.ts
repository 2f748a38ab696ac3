import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { type FakeNode, startFakeNode } from '@leonore/client/testing';
import { EMPTY_PROFILE, type Gateway } from '@leonore/protocol';
import { parse as parseYaml } from 'yaml';
import { COMMANDS, commandNames } from './command-table.ts';
import { main } from './main.ts';
import { createFakeTerminal } from './testing/fake-terminal.ts';
import { type CliHome, createCliHome } from './testing/run-cli.ts';

const ESCAPE = '\u001B';

function gateway(id: string, extra: Partial<Gateway> = {}): Gateway {
  return {
    id,
    profile: { ...EMPTY_PROFILE, os: 'linux', arch: 'arm64', libc: 'glibc', labels: { floor: '2' } },
    labels: { site: 'vienna' },
    connected: false,
    enrolledAt: 1_700_000_000_000,
    desired: [],
    ...extra,
  };
}

describe('leonore', { timeout: 120_000 }, () => {
  let node: FakeNode;
  let home: CliHome;
  let run: CliHome['run'];
  before(async () => {
    node = await startFakeNode();
    home = await createCliHome({ LEONORE_URL: node.url, LEONORE_TOKEN: node.token });
    run = home.run;
  });
  /** The same call without a process of its own, where many are made. */
  async function runInside(words: readonly string[]) {
    const env = { LEONORE_URL: node.url, LEONORE_TOKEN: node.token, XDG_CONFIG_HOME: join(home.folder, 'config') };
    const terminal = createFakeTerminal({ env, cwd: home.folder });
    const code = await main(words, terminal);
    return { code, stdout: terminal.stdout(), stderr: terminal.stderr() };
  }
  after(async () => {
    await node[Symbol.asyncDispose]();
    await home[Symbol.asyncDispose]();
  });

  describe('help and wrong calls', () => {
    it('without words it shows every command and ends with 0', async () => {
      const { code, stdout, stderr } = await run([]);
      assert.equal(code, 0);
      assert.equal(stderr, '');
      for (const name of commandNames)
        assert.match(stdout, new RegExp(`^  ${name} .*${COMMANDS[name].summary.slice(0, 20)}`, 'm'));
    });

    it('every command says how it is called, with an example', async () => {
      for (const name of commandNames) {
        const { code, stdout } = await runInside([name, '--help']);
        assert.equal(code, 0, name);
        assert.match(stdout, new RegExp(`^Usage: leonore ${name}`), name);
        if (name !== 'demo' && name !== 'context') assert.match(stdout, /Examples:\n {2}\$ leonore/, name);
      }
      assert.equal((await run(['help', 'gateway'])).stdout, (await run(['gateway', '--help'])).stdout);
    });

    it('says which command was meant', async () => {
      for (const [words, meant] of [
        [['artefact'], 'artifact'],
        [['gateway', 'lits'], 'list'],
      ] as const) {
        const { code, stdout, stderr } = await run(words);
        assert.equal(code, 2);
        assert.equal(stdout, '');
        assert.match(stderr, new RegExp(`^error: unknown command .*\\n\\(Did you mean .*${meant}.*\\?\\)\\nhint: `));
      }
    });

    it('ends with 2 for each wrong call, and touches no node', async () => {
      const before = node.requests.length;
      const calls = [
        ['artifact'],
        ['gateway', 'list', '-o', 'xml'],
        ['gateway', 'list', '--limit', '0'],
        ['gateway', 'list', '--select', 'site='.repeat(2)],
        ['gateway', 'label', 'gw', 'nolabel'],
        ['gateway', 'label', 'gw', '-bad-key-=x'],
        ['provision', 'svm'],
        ['provision', '--select', '*'],
        ['provision', 'svm@not a range', '--select', '*'],
        ['provision', 'Svm', '--select', '*'],
        ['provision', 'svm', '--select', 'a b c'],
        ['provision', 'svm', '--select', '*', '--strategy', 'magic'],
        ['artifact', 'withdraw', 'svm', '--yes'],
        ['artifact', 'show', 'svm@'],
        ['artifact', 'usage', 'svm@not a range'],
        ['artifact', 'tree', 'Svm'],
        ['explain', 'svm'],
        ['explain', 'svm', '--gateway', 'gw', '--select', '*'],
        ['explain', 'svm', '--select', 'a b c'],
        ['gateway', 'list', '--runs', 'svm@^1'],
        ['gateway', 'token', 'create', '--ttl', 'soon'],
        ['node', '--http', 'nowhere'],
        ['node', '--http', '127.0.0.1:99999'],
        ['agent', '--id', 'Not An Id', '--root', '.', '--server', 'http://127.0.0.1:1'],
        ['gateway', 'list', '--server', 'not-a-url'],
        ['gateway', 'list', '--context', 'unknown'],
      ];
      for (const words of calls) {
        const { code, stdout, stderr } = await runInside(words);
        assert.equal(code, 2, `${words.join(' ')}: ${stderr}`);
        assert.equal(stdout, '', words.join(' '));
        assert.match(stderr, /^(error: |Usage: )/, words.join(' '));
        assert.doesNotMatch(stderr, /\n {4}at /, 'no stack traces for people');
      }
      assert.equal(node.requests.length, before);
    });

    it('an older Node gets a sentence, not a syntax error', async () => {
      const older =
        'data:text/javascript,Object.defineProperty(process,"versions",{value:{...process.versions,node:"20.20.2"}})';
      const { code, stderr } = await run(['--help'], { nodeArgs: ['--import', older] });
      assert.equal(code, 1);
      assert.match(stderr, /^error: leonore needs Node\.js 24 or newer, and this is 20\.20\.2\nhint: .*npx leonore/);
    });
  });

  describe('failures', () => {
    it('5: no server reached, named by its address', async () => {
      const closed = createServer();
      await new Promise<void>((resolve) => closed.listen(0, '127.0.0.1', resolve));
      const url = `http://127.0.0.1:${(closed.address() as AddressInfo).port}`;
      await new Promise((resolve) => closed.close(resolve));
      const { code, stdout, stderr } = await run(['gateway', 'list', '--server', url]);
      assert.equal(code, 5);
      assert.equal(stdout, '');
      assert.match(
        stderr,
        new RegExp(`^error: cannot reach ${url}: nothing listens there.*\nhint: start a node with: leonore node`),
      );
    });

    it('4: a wrong token or none, with where to find one', async () => {
      for (const token of ['wrong', '']) {
        const { code, stderr } = await run(['gateway', 'list'], { env: { LEONORE_TOKEN: token } });
        assert.equal(code, 4);
        assert.match(stderr, /^error: .*\nhint: .*admin-token/);
      }
    });

    it('3: not found, with how to see what there is', async () => {
      for (const words of [
        ['gateway', 'show', 'nobody'],
        ['artifact', 'show', 'nothing'],
        ['artifact', 'usage', 'nothing'],
        ['artifact', 'tree', 'nothing'],
        ['artifact', 'withdraw', 'nothing@1.0.0', '--yes'],
        ['rollout', 'watch', '99'],
        ['package', 'show', `p-${'0'.repeat(32)}`],
        ['gateway', 'token', 'revoke', 't-0'],
        ['gateway', 'logs', 'nobody'],
      ]) {
        const { code, stderr } = await runInside(words);
        assert.equal(code, 3, `${words.join(' ')}: ${stderr}`);
        assert.match(stderr, /^error: there is no .*\nhint: leonore /);
      }
    });

    it('1: no plan, with the facts that leave none', async () => {
      node.gateways.set('gw', gateway('gw'));
      const explanation = {
        summary: 'svm cannot be installed',
        facts: [
          { kind: 'requested' as const, text: 'svm ^9 is asked for' },
          { kind: 'no-version' as const, text: 'svm exists in 1.2.28' },
        ],
        suggestions: ['svm@^1.2'],
      };
      node.resolution = { outcome: 'unsatisfiable', explanation };
      const expected = '├─ svm ^9 is asked for\n└─ svm exists in 1.2.28\ntry: svm@^1.2\n';
      const provisioned = await run(['provision', 'svm@^9', '--select', '*']);
      assert.deepEqual([provisioned.code, provisioned.stdout], [1, '']);
      assert.equal(provisioned.stderr, `error: svm cannot be installed\n${expected}`);
      const explained = await run(['explain', 'svm@^9', '--gateway', 'gw']);
      assert.deepEqual([explained.code, explained.stdout], [1, `svm cannot be installed\n${expected}`]);
      node.resolution = { outcome: 'plan', plan: { steps: [], remove: [] } };
      node.gateways.clear();
    });
  });

  describe('lists and shows', () => {
    beforeEach(() => node.gateways.clear());

    it('writes a table, JSON, YAML or names, and nothing else on stdout', async () => {
      node.gateways.set('gw-1', gateway('gw-1'));
      node.gateways.set('gw-2', gateway('gw-2', { connected: true }));
      const table = await run(['gateway', 'list']);
      assert.equal(table.code, 0);
      assert.deepEqual(
        table.stdout.split('\n').map((line) => line.split(/ {2,}/)),
        [
          ['ID', 'STATE', 'PLATFORM', 'STRATEGIES', 'INSTALLED', 'TASK', 'LAST SEEN', 'LABELS'],
          ['gw-1', 'never seen', 'linux/arm64/glibc', 'pull', '?', '-', 'never', 'floor=2,site=vienna'],
          ['gw-2', 'connected', 'linux/arm64/glibc', 'pull', '?', '-', 'never', 'floor=2,site=vienna'],
          [''],
        ].map((row) => row),
      );
      const wanted = [...node.gateways.values()];
      assert.deepEqual(JSON.parse((await run(['gateway', 'list', '-o', 'json'])).stdout), wanted);
      assert.deepEqual(parseYaml((await run(['gateway', 'list', '-o', 'yaml'])).stdout), wanted);
      assert.equal((await run(['gateway', 'list', '-o', 'name'])).stdout, 'gw-1\ngw-2\n');
      assert.deepEqual(JSON.parse((await run(['gateway', 'show', 'gw-1', '-o', 'json'])).stdout), wanted[0]);
      assert.equal((await run(['gateway', 'list', '-o', 'name', '--limit', '1'])).stdout, 'gw-1\n');
    });

    it('an empty list says what to do next, on stderr; machines get an empty list', async () => {
      for (const [words, next] of [
        [['gateway', 'list'], 'leonore gateway token create'],
        [['artifact', 'list'], 'leonore artifact publish'],
        [['rollout', 'list'], 'leonore provision'],
        [['package', 'list'], 'leonore provision'],
        [['gateway', 'token', 'list'], 'leonore gateway token create'],
        [['context', 'list'], 'leonore login'],
      ] as const) {
        const { code, stdout, stderr } = await runInside(words);
        assert.deepEqual([code, stdout], [0, ''], words.join(' '));
        assert.ok(stderr.includes(next), stderr);
        assert.equal((await runInside([...words, '-o', 'json'])).stdout, '[]\n');
      }
    });

    it('is plain where nobody looks, and coloured where it is forced, but not against NO_COLOR', async () => {
      node.gateways.set('gw-2', gateway('gw-2', { connected: true }));
      assert.ok(!(await run(['gateway', 'list'])).stdout.includes(ESCAPE));
      assert.ok((await run(['gateway', 'list'], { env: { FORCE_COLOR: '1' } })).stdout.includes(ESCAPE));
      assert.ok(
        !(await run(['gateway', 'list'], { env: { FORCE_COLOR: '1', NO_COLOR: '1' } })).stdout.includes(ESCAPE),
      );
    });

    it('what a gateway says cannot steer the terminal', async () => {
      node.gateways.set(
        'gw',
        gateway('gw', { profile: { ...EMPTY_PROFILE, hostname: `evil${ESCAPE}[2J\u202Ename\nrow` } }),
      );
      const { stdout } = await run(['gateway', 'show', 'gw']);
      assert.ok(!stdout.includes(ESCAPE) && !stdout.includes('\u202E'));
      assert.match(stdout, /^host +evil.\[2J.name row$/m);
    });
  });
});
