/**
 * The agent killed at system calls, again and again: one gateway goes from task to task; in each its agent is killed at
 * one point, often a second time while it comes up, and must then be in order: first with what it finds on its own disk,
 * while the server offers nothing, then with the task done.
 *
 *   at rest ──task, kill──> dead ──start──> old or new whole ──offer──> task ended, in order ──> at rest
 */
import { once } from 'node:events';
import { rm, readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createJournal } from '../agent/journal.ts';
import { makeTask } from '../test-support/packages.ts';
import { until } from '../test-support/waiting.ts';
import type { Kill, Violation } from './figures.ts';
import { type FaultyGateway, faultyGateway, hasEnded } from './gateway.ts';
import {
  faultsAtServer,
  faultsInProfile,
  faultsInScriptLog,
  faultsInWhatRuns,
  faultsOnDisk,
  type Installed,
} from './invariant.ts';
import { beginning, fits, type Scenario, type Undertaking, undertake } from './scenarios.ts';
import {
  attach,
  CHANGING_CALLS,
  type DiskError,
  failFrom,
  type Injection,
  killAt,
  pointsOf,
  type Tracer,
} from './strace.ts';

export interface KillRun extends AsyncDisposable {
  /** Every point of a task of that kind, found by doing one. */
  points(scenario: Scenario): Promise<readonly Injection[]>;
  /** One task with one kill in it. Undefined when it ended before the point was reached. */
  cycle(scenario: Scenario, point: Injection): Promise<Kill | Violation | undefined>;
  /** One task while the disk refuses a call from one point on; when that is over the next task must go well. */
  failing(scenario: Scenario, point: Injection, error: DiskError): Promise<Kill | Violation>;
  fits(scenario: Scenario): boolean;
  agentLog(): Promise<string>;
}

const PATIENCE_MS = 20_000;
/** What the agent does when it comes up. */
const COMING_UP = [
  'unlink',
  'rmdir',
  'rename',
  'symlink',
  'fsync',
  'clone',
  'clone3',
  'kill',
  'mkdir',
  'link',
  'write',
];
const NAMES = ['base', 'app', 'tool'];

/** `random`: 0 <= x < 1. */
export async function startKillRun(random: () => number): Promise<KillRun> {
  const stack = new AsyncDisposableStack();
  const gateway = stack.use(await faultyGateway());
  const { server } = gateway;
  const published = new Set<string>();
  const tars = new Map<string, Buffer>();
  let id = 0;
  let installed: Installed = new Map();

  const offer = async (task: Undertaking): Promise<() => void> => {
    for (const { token } of task.builds) published.add(token);
    const made = await makeTask(server, gateway.work, task.task);
    for (const [name, tar] of Object.entries(made.tars)) if (task.expect === 'success') tars.set(name, tar);
    return () => {
      server.offered = made.deployment;
    };
  };
  const closed = () => server.closed(String(id));
  const settled = async (task: Undertaking, restarted = false): Promise<string[]> => {
    const report = await until('the end of the task', closed, PATIENCE_MS).catch(() => undefined);
    if (!report) return ['the task came to no end'];
    const finished = report.status.result.finished;
    if (finished !== task.expect) return [`the task ended with ${finished}: ${report.status.details?.join('; ')}`];
    return inOrder(gateway, task, () => [
      ...faultsAtServer(gateway, String(id), task.after),
      ...(restarted ? faultsInProfile(gateway, task.after) : []),
    ]);
  };
  const next = async (scenario: Scenario): Promise<Undertaking> => {
    id += 1;
    for (const list of [server.requests, server.reports, server.sent]) list.length = 0;
    server.packages.clear();
    server.profiles.splice(0, server.profiles.length - 5);
    for (const name of await readdir(gateway.work)) {
      if (name.startsWith('task-')) await rm(join(gateway.work, name), { recursive: true });
    }
    return undertake(scenario, { id, installed, log: gateway.scriptLog, tars, random });
  };
  const traced = async (injection: Injection): Promise<Tracer> => attach(gateway.child?.pid ?? 0, killAt(injection));

  const first = async (): Promise<void> => {
    id = 1;
    const task = beginning({ id, log: gateway.scriptLog });
    (await offer(task))();
    await gateway.start();
    const faults = await settled(task);
    if (faults.length > 0) throw new Error(`not even the first installation is in order: ${faults.join('; ')}`);
    installed = task.after;
  };
  try {
    await first();
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }

  return {
    fits: (scenario) => fits(scenario, installed),
    agentLog: () => gateway.agentLog(),
    async points(scenario) {
      const task = await next(scenario);
      const start = await offer(task);
      const output = join(gateway.work, 'trace');
      const expressions = [`trace=${CHANGING_CALLS.join(',')}`];
      const tracer = await attach(gateway.child?.pid ?? 0, { expressions, output });
      start();
      const faults = await settled(task);
      await tracer.detach();
      if (faults.length > 0) throw new Error(`${scenario} without any kill is not in order: ${faults.join('; ')}`);
      installed = task.after;
      return pointsOf(await readFile(output, 'utf8'));
    },
    async cycle(scenario, point) {
      const task = await next(scenario);
      const before = installed;
      const facts = { scenario, call: point.call, at: point.at };
      const start = await offer(task);
      const violation = async (phase: string, faults: readonly string[]): Promise<Violation> => ({
        ...facts,
        phase,
        faults,
        log: (await gateway.agentLog()).trimEnd().split('\n').slice(-15),
      });

      const tracer = await traced(point);
      start();
      const died = gateway.child && once(gateway.child, 'exit').then(() => true);
      const reached = await Promise.race([died, settled(task).then(() => false)]);
      await tracer.detach();
      if (reached !== true) {
        const faults = await settled(task);
        installed = task.after;
        return faults.length > 0 ? violation('without a kill', faults) : undefined;
      }
      const phase = await phaseOf(gateway);
      const told = closed();

      server.offered = undefined;
      let began = performance.now();
      await gateway.start();
      const again = random() < 0.3 && (await killComingUp(gateway, random));
      if (again) {
        began = performance.now();
        await gateway.start();
      }
      const isUp = await gateway.untilUp(PATIENCE_MS).then(
        () => true,
        () => false,
      );
      if (!isUp) return violation(phase, ['the agent does not come up']);
      const mustBeNew = told?.status.result.finished === 'success';
      const one = await oldOrNew(gateway, before, task, mustBeNew);
      const recoveryMs = performance.now() - began;
      if (one.faults.length > 0) return violation(phase, one.faults);
      start();
      const faults = await settled(task, true);
      faults.push(...faultsInScriptLog(await readFile(gateway.scriptLog, 'utf8'), published));
      installed = task.after;
      if (faults.length > 0) return violation(phase, faults);
      return { ...facts, phase, outcome: one.outcome, again, recoveryMs };
    },
    async failing(scenario, point, error) {
      const task = await next(scenario);
      const before = installed;
      const facts = { scenario, call: `${error} of ${point.call}`, at: point.at };
      const violation = async (phase: string, faults: readonly string[]): Promise<Violation> => ({
        ...facts,
        phase,
        faults,
        log: (await gateway.agentLog()).trimEnd().split('\n').slice(-15),
      });
      const start = await offer(task);
      const began = performance.now();
      const tracer = await attach(gateway.child?.pid ?? 0, failFrom(point, error, gateway.at));
      start();
      const report = await until('the end of the task', () => hasEnded(gateway.child) || closed(), PATIENCE_MS).catch(
        () => undefined,
      );
      const said = typeof report === 'object' ? (report.status.details?.[0] ?? '') : '';
      const isNew = typeof report === 'object' && report.status.result.finished === 'success';
      const faults =
        typeof report === 'object'
          ? []
          : [report === true ? 'the agent has ended by itself' : 'the task came to no end'];
      installed = isNew ? task.after : before;
      if (faults.length === 0) faults.push(...(await inPeace(gateway, installed)));
      await tracer.detach();
      const phase = isNew ? 'it succeeded' : (/^could not (\w+)/.exec(said)?.[1] ?? 'refused early');
      if (faults.length > 0) return violation(phase, faults);
      const repair = await next('update');
      (await offer(repair))();
      faults.push(...(await settled(repair)));
      installed = repair.after;
      if (faults.length > 0) return violation(`${phase}, and then the next task`, faults);
      return { ...facts, phase, outcome: isNew ? 'new' : 'old', again: false, recoveryMs: performance.now() - began };
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

/** What runs, whatever cannot be deleted or led elsewhere yet. */
async function inPeace(gateway: FaultyGateway, installed: Installed): Promise<string[]> {
  let faults: string[] = [];
  const look = async (): Promise<boolean> => {
    faults = await faultsInWhatRuns(gateway, installed);
    return faults.length === 0;
  };
  await until('the applications run', look, PATIENCE_MS).catch(() => undefined);
  return faults;
}

/** Waits until nothing is wrong. @returns what still is after a while. */
async function inOrder(gateway: FaultyGateway, task: Undertaking, more: () => string[]): Promise<string[]> {
  let faults: string[] = [];
  await until(
    'everything in order',
    async () => {
      // What was downloaded for a task that failed stays for the next one.
      const onDisk = (await faultsOnDisk(gateway, task.after, NAMES)).filter(
        (fault) => task.expect === 'success' || !fault.startsWith('downloads/'),
      );
      faults = [...onDisk, ...more()];
      return faults.length === 0;
    },
    PATIENCE_MS,
  ).catch(() => undefined);
  return faults;
}

async function oldOrNew(
  gateway: FaultyGateway,
  before: Installed,
  { after, expect }: Undertaking,
  mustBeNew: boolean,
): Promise<{ outcome: 'old' | 'new'; faults: string[] }> {
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    // What was downloaded stays for the next try.
    const isWhole = (fault: string): boolean => !/^(downloads|staging)\//.test(fault);
    const asNew = (await faultsOnDisk(gateway, after, NAMES)).filter(isWhole);
    if (asNew.length === 0) return { outcome: expect === 'success' ? 'new' : 'old', faults: [] };
    const asOld = (await faultsOnDisk(gateway, before, NAMES)).filter(isWhole);
    if (asOld.length === 0 && !mustBeNew) return { outcome: 'old', faults: [] };
    if (performance.now() > deadline || hasEnded(gateway.child)) {
      return {
        outcome: 'old',
        faults: [
          'neither version is whole',
          ...asNew.map((one) => `for the new: ${one}`),
          ...asOld.map((one) => `for the old: ${one}`),
        ],
      };
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** A second kill, at random, while it does what a former agent has left. False when it was up before. */
async function killComingUp(gateway: FaultyGateway, random: () => number): Promise<boolean> {
  const call = COMING_UP[Math.floor(random() * COMING_UP.length)] ?? 'unlink';
  const at = 1 + Math.floor(random() ** 2 * 8);
  const { child } = gateway;
  if (!child) return false;
  await using _tracer = await attach(child.pid ?? 0, killAt({ call, at }));
  const died = once(child, 'exit').then(() => true);
  return await Promise.race([
    died,
    gateway.untilUp(PATIENCE_MS).then(
      () => false,
      () => hasEnded(child),
    ),
  ]);
}

async function phaseOf(gateway: FaultyGateway): Promise<string> {
  const open = await createJournal(gateway.at('journal')).read();
  if (open?.rollback) return 'rolling back';
  if (open?.committed) return 'cleaning up';
  if (open) return `installing: ${open.step?.split(' ')[0] ?? 'begin'}`;
  const holds = async (folder: string): Promise<boolean> =>
    (await readdir(gateway.at(folder)).catch(() => [])).length > 0;
  if (await holds('staging')) return 'unpacking';
  if (await holds('downloads')) return 'downloading';
  return 'reporting';
}
