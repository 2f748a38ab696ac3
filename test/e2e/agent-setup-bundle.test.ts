/** The agent as one file: small enough, whole without a node_modules, and the same agent, on this Node and on an old one. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { endApplications, startSite, temporaryFolder, waitFor, wordsOf, type Site } from '@leonore/testkit';
import { buildAgent, MAX_AGENT_BYTES } from '../../scripts/build-agent.ts';
import { service } from './applications.ts';
import { bareMachine, noBareMachine } from './bare-machine.ts';
import { oldNode } from './old-node.ts';
import { mainJob } from './main-job.ts';

const run = promisify(execFile);
const old = await oldNode();
const folder = await temporaryFolder('leonore-bundle-');
const built = await buildAgent(folder.path);
const file = built.file;

after(() => folder[Symbol.asyncDispose]());

describe('the agent as one file', () => {
  it('is small, and names its libraries with their licences', async () => {
    assert.ok(built.bytes <= MAX_AGENT_BYTES, `${built.bytes} bytes, at most ${MAX_AGENT_BYTES}`);
    const text = await readFile(file, 'utf8');
    const names = built.libraries.map((library) => library.split(' ')[0]);
    for (const name of ['mqtt', 'zod', 'semver']) assert.ok(names.includes(name), `${name} in ${names.join(', ')}`);
    for (const library of built.libraries) assert.ok(text.includes(`\n${library}\n`), library);
    assert.match(text, /Permission is hereby granted, free of charge/);
  });

  const nodes = [
    { name: `Node ${process.versions.node}`, path: process.execPath, skip: false as const },
    { name: old.name, path: old.path, skip: old.skip },
  ];
  for (const { name, path, skip } of nodes) {
    it(`says how it is called, ${name}`, { skip }, async () => {
      // Away from this project, and also where a package.json makes it a module.
      for (const type of [undefined, 'module', 'commonjs']) {
        const manifest = join(dirname(file), 'package.json');
        await writeFile(manifest, JSON.stringify({ type }));
        const version = await run(path, [file, '--version'], { cwd: '/' });
        assert.deepEqual(version, { stdout: '0.1.0\n', stderr: '' });
      }
      const { stdout } = await run(path, [file, '--help'], { cwd: '/' });
      for (const word of ['--server <url>', '--config <file>', 'LEONORE_ENROLMENT_TOKEN', 'Examples:'])
        assert.ok(stdout.includes(word), word);
      const wrong = run(path, [file, '--root', '/nowhere', '--sever', 'x']);
      await assert.rejects(wrong, { code: 2, stderr: /^error: Unknown option '--sever'/ });
    });
  }

  it('tells a Node that is too old what it needs', async () => {
    const older = `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '18.20.4' } });
      process.getBuiltinModule = undefined;`;
    const preload = join(folder.path, 'older.cjs');
    await writeFile(preload, older);
    await assert.rejects(run(process.execPath, ['--require', preload, file, '--help']), {
      code: 1,
      stdout: '',
      stderr:
        /^error: leonore-agent needs Node\.js 20\.19 or newer, and this is 18\.20\.4; [^\n]*leonore-agent-lite[^\n]*\n$/,
    });
  });
});

describe('the agent as one file on a bare machine', { skip: noBareMachine }, () => {
  it('does its work with a read-only root, no /tmp, no /etc and one folder', async () => {
    // Not below /tmp, so that there need not be one.
    const work = await mkdtemp('/var/tmp/leonore-bare-');
    const root = join(work, 'gateway');
    await using _work = {
      async [Symbol.asyncDispose]() {
        await endApplications(root);
        await rm(work, { recursive: true });
      },
    };
    const files = [process.execPath, file];
    const program = await bareMachine(work, root, { files, call: files.map((path) => `/agent/${basename(path)}`) });
    await using site = await startSite();
    await site.agent('gw-bare', { strategy: 'push', poll: '1s', program, args: ['--root', root] });
    const look = 'ls -d /tmp && exit 1; ls -d /etc && exit 1; touch /bin/x 2>/dev/null && exit 1; exec sleep 1000';
    const health = 'true';
    for (const version of ['1.0.0', '1.1.0']) {
      await site.publish(service('meter', version, {}, { start: look, health }));
      const { rollout, tasks } = await site.provision({
        applications: [{ name: 'meter', range: version }],
        selector: '*',
      });
      assert.equal(rollout.state, 'succeeded', wordsOf(tasks));
    }
    await site.publish(service('meter', '1.2.0', {}, { start: 'echo no bus; exit 4', health }));
    const { tasks } = await site.provision({ applications: [{ name: 'meter', range: '1.2.0' }], selector: '*' });
    assert.match(wordsOf(tasks), /it ended with exit code 4 right after its start/);
    await waitFor('meter 1.1.0 to run again', async () => {
      const { profile } = await site.client.gateways.get('gw-bare');
      return profile.installed?.some(({ version, state }) => version === '1.1.0' && state === 'running');
    });
  });
});

describe(`the agent as one file does the main job on ${old.name}`, { skip: old.skip }, () => {
  mainJob('pull', { call: [old.path, file] });
});

describe(`the agent as one file on ${old.name}`, { skip: old.skip }, () => {
  let site: Site;
  before(async () => {
    site = await startSite();
  });
  after(() => site[Symbol.asyncDispose]());

  it('offers only what that Node can open, and installs by push', async () => {
    const agent = await site.agent('gw-old', { strategy: 'push', program: { call: [old.path, file] } });
    const { profile } = await site.client.gateways.get(agent.id);
    const canZstd = old.hasZstd;
    assert.deepEqual(profile.encodings, canZstd ? ['zstd', 'gzip'] : ['gzip']);
    assert.deepEqual(profile.deltas, canZstd ? ['zstd'] : undefined);
    await site.publish(service('meter', '1.0.0'));
    const { rollout, tasks } = await site.provision({ applications: [{ name: 'meter' }], selector: '*' });
    assert.equal(rollout.state, 'succeeded', wordsOf(tasks));
    assert.equal(tasks[0]?.deliveredBy, 'push');
  });

  it('does not go around a proxy that this Node cannot use', { skip: old.hasProxies && 'this Node can' }, async () => {
    const call = [file, '--server', site.node.httpUrl, '--root', join(folder.path, 'proxied'), '--proxy', 'http://p:1'];
    await assert.rejects(run(old.path, call), { code: 2, stderr: /^error: a proxy needs Node\.js 24\.5/ });
  });
});
