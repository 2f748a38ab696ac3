/** What reaches a server of the gateway's profile, and what of it is right afterwards: over restarts, losses, refusals. */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { type ArtifactName, EMPTY_PROFILE, type GatewayProfile, LeonoreError, mergePatch } from '@leonore/protocol';
import { silentLogger } from '../connectivity/mod.ts';
import { temporaryFolder } from '../test-support/temporary-folder.ts';
import { until } from '../test-support/waiting.ts';
import { createProfileSender, type ProfileSenderOptions } from './profile-sender.ts';
import { openToldProfile, stamped } from './told-profile.ts';

const MACHINE: GatewayProfile = {
  ...EMPTY_PROFILE,
  os: 'linux',
  hostname: 'a',
  memory: { total: 1000, free: 500 },
  load: 1,
  uptime: 100,
};

const INSTALLED = { name: 'meter' as ArtifactName, version: '1.0.0', state: 'running', requested: true } as const;

/** Does with patches what the framework does. */
function server() {
  const messages: { readonly kind: 'whole' | 'patch'; readonly body: Record<string, unknown> }[] = [];
  let profile: GatewayProfile | undefined;
  /** In place of an answer; `after`: it was taken in nevertheless. */
  let fault: { readonly error: Error; readonly after: boolean } | undefined;
  const receive = (kind: 'whole' | 'patch', body: unknown, take: () => void): void => {
    messages.push({ kind, body: body as Record<string, unknown> });
    if (fault?.after !== false) take();
    if (fault) throw fault.error;
  };
  return {
    messages,
    get profile() {
      return profile;
    },
    set profile(value) {
      profile = value;
    },
    set fault(value: typeof fault) {
      fault = value;
    },
    putWhole: async (whole: GatewayProfile) => receive('whole', whole, () => (profile = whole)),
    sendPatch: async (patch: unknown) =>
      receive('patch', patch, () => {
        const { base, ...rest } = patch as { base?: string; revision?: string };
        if (profile?.revision === rest.revision) return;
        if (profile?.revision !== base) throw new LeonoreError('profile.base', 'another profile is known');
        profile = mergePatch(profile, rest) as GatewayProfile;
      }),
  };
}

async function bench(change: Partial<ProfileSenderOptions> = {}) {
  const folder = await temporaryFolder();
  const file = join(folder.path, 'profile.json');
  const far = server();
  const state = { machine: MACHINE, refreshed: 0, looked: 0, now: 0 };
  const start = async () => {
    const told = await openToldProfile({ file, server: 'http://one', logger: silentLogger });
    const stopping = new AbortController();
    const sender = createProfileSender({
      profiler: {
        refresh: async () => void state.refreshed++,
        profile: async () => {
          state.looked++;
          return state.machine;
        },
      },
      told,
      putWhole: far.putWhole,
      sendPatch: far.sendPatch,
      checkMs: 20,
      slowMs: 3_600_000,
      gatherMs: 10,
      now: () => state.now,
      backoff: { initialMs: 10, maxMs: 50 },
      logger: silentLogger,
      ...change,
    });
    const running = sender.run(stopping.signal);
    return {
      sender,
      told,
      [Symbol.asyncDispose]: async () => {
        stopping.abort(new Error('stop'));
        await running;
      },
    };
  };
  const same = (): boolean => {
    const { revision: _, uptime: __, ...rest } = far.profile ?? EMPTY_PROFILE;
    const { uptime: ___, ...machine } = state.machine;
    return JSON.stringify(sorted(rest)) === JSON.stringify(sorted(machine));
  };
  /** It has looked that often without a message. */
  const quiet = async (): Promise<void> => {
    const [looks, count] = [state.looked, far.messages.length];
    await until('more looks', () => state.looked > looks + 3);
    assert.equal(far.messages.length, count);
  };
  return { file, far, state, start, same, quiet, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() };
}

function sorted(record: object): object {
  return Object.fromEntries(Object.entries(record).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

void test('sends all at first, then what has changed; nothing where nothing has, also after a start', async () => {
  await using gateway = await bench();
  const { far, state } = gateway;
  {
    await using agent = await gateway.start();
    await until('the whole', gateway.same);
    await gateway.quiet();
    state.machine = { ...MACHINE, hostname: 'b', uptime: 200 };
    agent.sender.look();
    await until('the change', gateway.same);
    const { base, revision, ...patch } = far.messages[1]?.body ?? {};
    assert.deepEqual(patch, { hostname: 'b', uptime: 200 });
    assert.equal(base, far.messages[0]?.body['revision']);
    assert.notEqual(revision, base);
    assert.ok(JSON.stringify(far.messages[1]?.body).length < 100);
  }
  await using _again = await gateway.start();
  state.machine = { ...state.machine, uptime: 300 };
  await gateway.quiet();
  assert.equal(far.messages.length, 2);
});

void test('figures wait for their time, and for a step', async () => {
  await using gateway = await bench({ slowMs: 1000 });
  const { far, state } = gateway;
  await using _agent = await gateway.start();
  await until('the whole', gateway.same);
  state.machine = { ...MACHINE, load: 1.1, memory: { total: 1000, free: 100 } };
  await gateway.quiet();
  state.now = 1000;
  await until('the figure', () => far.messages.length === 2);
  const { base: _, revision: __, ...patch } = far.messages[1]?.body ?? {};
  assert.deepEqual(patch, { memory: { free: 100 } });
  state.machine = { ...MACHINE, memory: { total: 1000, free: 900 } };
  state.now = 1999;
  await gateway.quiet();
});

void test('an answer that got lost: the same patch again, and it is applied once', async () => {
  await using gateway = await bench();
  const { far, state } = gateway;
  await using _agent = await gateway.start();
  await until('the whole', gateway.same);
  far.fault = { error: new LeonoreError('server.unreachable', 'lost'), after: true };
  state.machine = { ...MACHINE, hostname: 'b', labels: { x: '1' } };
  await until('it was tried twice', () => far.messages.length >= 3);
  state.machine = { ...MACHINE, hostname: 'c' };
  far.fault = undefined;
  await until('all is told', gateway.same);
  assert.ok(far.messages.slice(1).every(({ kind }) => kind === 'patch'));
  assert.deepEqual(far.messages[2]?.body, far.messages[1]?.body);
});

void test('a server that was set back, or lost it, gets it whole', async () => {
  await using gateway = await bench();
  const { far, state } = gateway;
  await using agent = await gateway.start();
  await until('the whole', gateway.same);
  far.profile = stamped({ ...MACHINE, hostname: 'of last year', labels: { old: '1' } });
  state.machine = { ...MACHINE, hostname: 'b' };
  await until('all is told', gateway.same);
  assert.deepEqual(
    far.messages.map(({ kind }) => kind),
    ['whole', 'patch', 'whole'],
  );
  // It asks, with a poll, also while a change is on its way.
  far.profile = undefined;
  agent.sender.tellAll();
  await until('all is told again', gateway.same);
  assert.equal(far.messages.at(-1)?.kind, 'whole');
});

void test('asks once a day whether it is still the same, in few bytes', async () => {
  await using gateway = await bench();
  const { far, state } = gateway;
  await using _agent = await gateway.start();
  await until('the whole', gateway.same);
  far.profile = undefined;
  await gateway.quiet();
  state.now = 24 * 3_600_000;
  await until('the whole again', () => far.profile !== undefined);
  assert.deepEqual(Object.keys(far.messages[1]?.body ?? {}).toSorted(), ['base', 'revision']);
  assert.equal(far.messages.length, 3);
});

void test('what another server was told, or a damaged file says, does not count', async () => {
  await using gateway = await bench();
  {
    await using _agent = await gateway.start();
    await until('the whole', gateway.same);
  }
  const elsewhere = await openToldProfile({ file: gateway.file, server: 'http://two', logger: silentLogger });
  assert.equal(elsewhere.profile, undefined);
  const text = await readFile(gateway.file, 'utf8');
  await writeFile(gateway.file, text.slice(0, text.length / 2));
  await writeFile(`${gateway.file}.bak`, '');
  await using _agent = await gateway.start();
  await until('the whole again', () => gateway.far.messages.length === 2);
  assert.equal(gateway.far.messages[1]?.kind, 'whole');
});

void test('a refused profile is not sent again and again, however often something changes', async () => {
  await using gateway = await bench({ backoff: { initialMs: 60_000, maxMs: 60_000 } });
  const { far, state } = gateway;
  far.fault = {
    error: new LeonoreError('quota.exceeded', 'too much', { details: { httpStatus: 429 } }),
    after: false,
  };
  await using agent = await gateway.start();
  await until('it was tried', () => far.messages.length === 1);
  for (let i = 0; i < 20; i++) {
    state.machine = { ...MACHINE, hostname: `h${i}` };
    agent.sender.look();
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal(far.messages.length, 1);
});

void test('a change that is refused for good is followed by all of it, and that by a long silence', async () => {
  await using gateway = await bench();
  const { far, state } = gateway;
  await using agent = await gateway.start();
  await until('the whole', gateway.same);
  far.fault = {
    error: new LeonoreError('quota.exceeded', 'too much', { details: { httpStatus: 429 } }),
    after: false,
  };
  state.machine = { ...MACHINE, hostname: 'b' };
  agent.sender.look();
  await until('both were tried', () => far.messages.length === 3);
  assert.deepEqual(
    far.messages.map(({ kind }) => kind),
    ['whole', 'patch', 'whole'],
  );
  agent.sender.look();
  agent.sender.tellAll();
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.equal(far.messages.length, 3);
});

void test('asked for all while a change is on its way, it sends all', async () => {
  let release = (): void => undefined;
  const held = new Promise<void>((resolve) => (release = resolve));
  await using gateway = await bench({ sendPatch: () => held });
  const { far, state } = gateway;
  await using agent = await gateway.start();
  await until('the whole', gateway.same);
  state.machine = { ...MACHINE, hostname: 'b' };
  const looks = state.looked;
  await until('it is on its way', () => state.looked > looks);
  agent.sender.tellAll();
  release();
  await until('all is told', gateway.same);
  assert.equal(far.messages.at(-1)?.kind, 'whole');
});

void test('an application that starts and dies all the time makes few messages', async () => {
  await using gateway = await bench();
  const { far, state } = gateway;
  await using agent = await gateway.start();
  await until('the whole', gateway.same);
  const crash = (): void => {
    state.machine = { ...MACHINE, hostname: `h${performance.now()}` };
    agent.sender.look();
  };
  const crashing = setInterval(crash, 5);
  try {
    await until('some messages', () => far.messages.length === 10);
    await new Promise((resolve) => setTimeout(resolve, 500));
    assert.equal(far.messages.length, 10);
  } finally {
    clearInterval(crashing);
  }
});

void test('looks again at what costs something at the slow interval', async () => {
  await using gateway = await bench({ slowMs: 20 });
  await using _agent = await gateway.start();
  await until('refreshes', () => gateway.state.refreshed >= 3);
});

void test('what a report said of the installed set is not taken for told: after a kill and a flash it is told anew', async () => {
  await using gateway = await bench();
  const { far, state } = gateway;
  state.machine = { ...MACHINE, installed: [] };
  {
    await using running = await gateway.start();
    await until('told', () => far.profile !== undefined);
    // A report tells the server of an installation, and nothing more comes of this run.
    far.fault = { error: new LeonoreError('server.unreachable', 'gone'), after: false };
    await running.told.forgetInstalled();
    far.profile = { ...(far.profile as GatewayProfile), installed: [INSTALLED] };
  }
  far.fault = undefined;
  await using _again = await gateway.start();
  await until('told again', () => gateway.same());
  assert.deepEqual(far.profile?.installed, []);
});
