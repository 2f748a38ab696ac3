/** The launcher by itself, in each shell there is: "agents" are shell scripts, so only what the launcher does is seen. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { temporaryFolder } from '../test-support/temporary-folder.ts';
import { until as untilSoon } from '../test-support/waiting.ts';
import { createAgentTrial } from './agent-trial.ts';
import { launcherFrom } from './launcher.ts';

/** Disks that are busy with other tests take their time. */
const until = (what: string, condition: () => boolean) => untilSoon(what, condition, 60_000);
const LAUNCHER = join(import.meta.dirname, '../../setup/leonore-agent');
const SHELLS = [
  { name: 'sh', call: ['/bin/sh'] },
  { name: 'busybox ash', call: ['busybox', 'ash'] },
];
const isThere = (command: string): boolean => {
  try {
    execFileSync('sh', ['-c', `command -v ${command}`], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
};

/** What each agent says first: who it is, whether it is on trial, and its arguments. */
const SAYS =
  'echo "$0 ${LEONORE_TRIAL:-} $*" | sed "s|.*/\\([^/]*\\)/binary/leonore-agent.js|\\1|; s|.*/seed.sh|seed|"';

async function bench(call: readonly string[], settings: Readonly<Record<string, string>> = {}) {
  const stack = new AsyncDisposableStack();
  const { path } = stack.use(await temporaryFolder());
  const root = join(path, 'root');
  const component = join(root, 'components/leonore-agent');
  const at = (...parts: string[]): string => join(root, ...parts);
  await mkdir(root);
  const agent = async (version: string, script: string): Promise<void> => {
    const file = version === 'seed' ? join(path, 'seed.sh') : join(component, version, 'binary/leonore-agent.js');
    await mkdir(join(file, '..'), { recursive: true });
    await writeFile(file, `${SAYS}\n${script}\n`);
  };
  const counts = async (version: string): Promise<void> => {
    await rm(join(component, 'current'), { force: true });
    await symlink(version, join(component, 'current'));
  };
  const start = () => {
    const [command = '', ...before] = call;
    const child = spawn(command, [...before, LAUNCHER, '--root', root, 'x y'], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        ...process.env,
        LEONORE_NODE: '/bin/sh',
        LEONORE_NODE_FLAGS: '',
        LEONORE_AGENT_SEED: join(path, 'seed.sh'),
        LEONORE_TRIAL_SECONDS: '60',
        ...settings,
      },
    });
    let said = '';
    let errors = '';
    child.stdout.on('data', (text: Buffer) => (said += text.toString()));
    child.stderr.on('data', (text: Buffer) => (errors += text.toString()));
    const closed = once(child, 'close');
    stack.defer(async () => {
      const pid = Number((await readFile(at('agent.pid'), 'utf8').catch(() => '')).split(' ')[1]);
      if (pid > 0 && existsSync(`/proc/${pid}`)) process.kill(pid, 'SIGKILL');
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
      await closed;
    });
    return {
      child,
      said: () => said,
      errors: () => errors,
      /** What each agent said, and how the launcher ended. */
      async ended() {
        await closed;
        return {
          agents: said
            .trim()
            .split('\n')
            .map((line) => line.trim()),
          code: child.exitCode,
        };
      },
    };
  };
  await agent('seed', 'exit 0');
  const trial = createAgentTrial(at('agent-trial'));
  return { agent, counts, start, at, trial, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}
const ARGUMENTS = /--root \S+ x y$/;
const who = (agents: readonly string[]): string[] => agents.map((line) => line.replace(ARGUMENTS, '').trim());

for (const { name, call } of SHELLS) {
  const skip = isThere(call[0] ?? '') ? false : `${name} is not there`;
  describe(`the launcher in ${name}`, { skip }, () => {
    it('runs the agent that came with the gateway, with its arguments, and ends as it ends', async () => {
      await using gateway = await bench(call);
      await gateway.agent('seed', 'test "$LEONORE_LAUNCHER" = 1 && exit 7');
      const { agents, code } = await gateway.start().ended();
      assert.match(agents.join('\n'), /^seed +--root \S+ x y$/);
      assert.equal(code, 7);
    });

    it('passes SIGTERM on, and waits for the end', async () => {
      await using gateway = await bench(call);
      await gateway.agent('seed', `trap 'echo told; exit 3' TERM; echo ready; while :; do sleep 0.1; done`);
      const running = gateway.start();
      await until('it runs', () => running.said().includes('ready'));
      running.child.kill('SIGTERM');
      const { agents, code } = await running.ended();
      assert.equal(agents.at(-1), 'told');
      assert.equal(code, 3);
    });

    it('tries what is ordered, until it is taken, and then runs what counts', async () => {
      await using gateway = await bench(call);
      await gateway.agent('1.0.0', 'exit 0');
      await gateway.agent(
        '2.0.0',
        `test "$LEONORE_TRIAL" || exit 0; ln -sfn 2.0.0 ${gateway.at('components/leonore-agent/current')}; rm -r ${gateway.at('agent-trial')}; exit 75`,
      );
      await gateway.counts('1.0.0');
      await gateway.trial.order('2.0.0');
      const { agents, code } = await gateway.start().ended();
      assert.deepEqual(who(agents), ['2.0.0 2.0.0', 'current']);
      assert.equal(code, 0);
    });

    it('goes back to the one before after three ends, and says why with its last words', async () => {
      await using gateway = await bench(call);
      await gateway.agent('1.0.0', 'exit 4');
      await gateway.agent('2.0.0', 'echo no such module >&2; exit 9');
      await gateway.counts('1.0.0');
      await gateway.trial.order('2.0.0');
      const { agents, code } = await gateway.start().ended();
      assert.deepEqual(who(agents), ['2.0.0 2.0.0', '2.0.0 2.0.0', '2.0.0 2.0.0', 'current']);
      assert.equal(code, 4);
      assert.deepEqual(await gateway.trial.failure(), {
        why: 'it ended with exit code 9 without having reported in, 3 times',
        log: ['no such module', 'no such module', 'no such module'],
      });
      assert.deepEqual(who((await gateway.start().ended()).agents), ['current'], 'it is not tried again');
    });

    it('ends one that is not heard in time, though it talks without end', async () => {
      await using gateway = await bench(call, { LEONORE_TRIAL_SECONDS: '2' });
      await gateway.agent('2.0.0', 'while :; do echo "still trying to think of something to say" >&2; done');
      await gateway.trial.order('2.0.0');
      const { agents, code } = await gateway.start().ended();
      assert.deepEqual(who(agents), ['2.0.0 2.0.0', 'seed']);
      assert.equal(code, 0);
      const failure = await gateway.trial.failure();
      assert.equal(failure?.why, 'it had not reported in after 2 seconds');
      assert.match(failure?.log.at(-1) ?? '', /think of something|Terminated/);
    });

    it('does without one that is not there', async () => {
      await using gateway = await bench(call);
      await gateway.trial.order('2.0.0');
      assert.deepEqual(who((await gateway.start().ended()).agents), ['seed']);
      assert.match((await gateway.trial.failure())?.why ?? '', /is not there/);
    });

    it('takes no order that is torn, empty, or leads elsewhere', async () => {
      await using gateway = await bench(call);
      await gateway.agent('2.0.0', 'exit 9');
      for (const text of [
        '',
        'try',
        'try 2.0.0',
        'try 2.0.0 en',
        'try 2.0.0 end',
        '\0\0\0\0\n',
        'try ../2.0.0 end\n',
        'try  end\n',
      ]) {
        await mkdir(gateway.at('agent-trial'), { recursive: true });
        await writeFile(gateway.at('agent-trial/order'), text);
        assert.deepEqual(who((await gateway.start().ended()).agents), ['seed'], JSON.stringify(text));
      }
    });

    it('killed again and again in a trial: it comes to an end', async () => {
      await using gateway = await bench(call);
      await gateway.agent('2.0.0', 'echo ready; exec sleep 300');
      await gateway.trial.order('2.0.0');
      for (let count = 1; count <= 3; count++) {
        const running = gateway.start();
        await until(`start ${count}`, () => running.said().includes('ready'));
        running.child.kill('SIGKILL');
      }
      const last = gateway.start();
      assert.deepEqual(who((await last.ended()).agents), ['seed']);
      assert.match(last.errors(), /ending the agent that was left/);
      assert.match((await gateway.trial.failure())?.why ?? '', /was started 3 times/);
    });

    it('leaves the agent of another launcher alone', async () => {
      await using gateway = await bench(call);
      await gateway.agent('seed', `trap 'exit 0' TERM; echo ready; while :; do sleep 0.1; done`);
      const first = gateway.start();
      await until('it runs', () => first.said().includes('ready'));
      const second = gateway.start();
      assert.equal((await second.ended()).code, 2);
      assert.match(second.errors(), /another agent works in/);
      first.child.kill('SIGTERM');
      assert.equal((await first.ended()).code, 0);
    });

    it('an installed agent that crashes five times in a row makes room for the one that came with the gateway', async () => {
      await using gateway = await bench(call);
      await gateway.agent('1.0.0', 'exit 1');
      await gateway.counts('1.0.0');
      const said: string[] = [];
      for (let count = 0; count < 6; count++) said.push(...who((await gateway.start().ended()).agents));
      assert.deepEqual(said, [...Array.from({ length: 5 }, () => 'current'), 'seed']);
    });
  });
}

describe('what the launcher says to the agent', () => {
  const env = { LEONORE_LAUNCHER: '1', LEONORE_LAUNCHER_ROOT: '/var/lib/leonore/' };
  it('counts for its root only', () => {
    assert.deepEqual(launcherFrom(env, '/var/lib/leonore'), {});
    assert.deepEqual(launcherFrom({ ...env, LEONORE_TRIAL: '2.0.0' }, '/var/lib/leonore'), { trial: '2.0.0' });
    assert.equal(launcherFrom(env, '/tmp/other'), undefined);
    assert.equal(launcherFrom({}, '/var/lib/leonore'), undefined);
  });
});
