/**
 * Runs an application as a transient service of systemd, which then holds it to its limits, ends all that came of it,
 * and shows it to `systemctl`. Starting it again stays with the container, so that it is the same everywhere.
 * See systemd-run(1), systemd.exec(5), systemd.resource-control(5).
 */
import { mkdir, stat, writeFile } from 'node:fs/promises';
import { constants } from 'node:os';
import { join } from 'node:path';
import { LeonoreError } from '@leonore/protocol';
import { sleep } from '../../connectivity/mod.ts';
import { scriptEnvironment } from '../application.ts';
import { readProcess, terminate } from '../process-table.ts';
import { findRunning, watchProcess } from './adoption.ts';
import { commandOutput } from './command.ts';
import { askedLimits, type Availability, type Ending, type Executor, type Running, type Workload } from './executor.ts';

export interface SystemdOptions {
  /** For files of environments. */
  readonly dir: string;
  /** Tells the services of two agents on one machine apart. */
  readonly group: string;
  /** Runs systemctl and systemd-run. */
  readonly command?: typeof commandOutput;
}

/** The first that has `StandardOutput=append:` and `Type=exec`. */
const OLDEST = 240;

export function createSystemdExecutor({ dir, group, command = commandOutput }: SystemdOptions): Executor {
  const unitOf = (name: string): string => `${group}-${name}.service`;
  let found: Promise<Availability> | undefined;

  const running = (workload: Workload, info: Pick<Running, 'pid' | 'startTime' | 'user'>): Running => {
    const unit = unitOf(workload.application.name);
    return {
      ...info,
      limits: askedLimits('systemd', workload.application.run),
      ...watchProcess(info, () => howItEnded(unit)),
    };
  };
  /** systemd may learn of it a little later than /proc. */
  const howItEnded = async (unit: string): Promise<Ending> => {
    for (let tries = 0; ; tries++) {
      const ending = endingOf((await command('systemctl', ['show', unit, ...SHOWN])).output);
      if (ending.code !== null || ending.signal !== null || tries === 10) return ending;
      await sleep(100);
    }
  };
  /** Also of one that has ended and is kept for its exit code. */
  const stop = async (name: string): Promise<void> => {
    await command('systemctl', ['stop', unitOf(name)]);
    await command('systemctl', ['reset-failed', unitOf(name)]);
  };

  return {
    name: 'systemd',
    available: () => (found ??= findSystemd(command)),
    prepare: () => Promise.resolve(),
    async launch(workload) {
      const { application } = workload;
      const unit = unitOf(application.name);
      await mkdir(dir, { recursive: true, mode: 0o700 });
      const environmentFile = join(dir, `${application.name}.env`);
      await writeFile(environmentFile, environmentText(scriptEnvironment(application, 'start')), { mode: 0o600 });
      await stop(application.name);
      const begun = await command('systemd-run', systemdRunArguments(workload, unit, environmentFile));
      const said = await command('systemctl', ['show', unit, ...SHOWN]);
      const pid = Number(/^MainPID=(\d+)$/m.exec(said.output)?.[1] ?? 0);
      const info = pid === 0 ? undefined : await readProcess(pid);
      if (info) return running(workload, { pid, startTime: info.startTime, user: workload.user });
      if (begun.code !== 0) {
        const { code, signal } = endingOf(said.output);
        const why = begun.output.trim().slice(-500) || `its process ended with ${signal ?? `exit code ${code}`}`;
        throw new LeonoreError('agent.script-failed', `systemd cannot run control/start: ${why}`);
      }
      // It has ended already.
      const ended = Promise.resolve(endingOf(said.output));
      const limits = askedLimits('systemd', application.run);
      return { pid, startTime: '', user: workload.user, limits, ended, look: () => Promise.resolve() };
    },
    async adopt(workload, known) {
      const info = await findRunning(workload, known);
      return info && running(workload, info);
    },
    async end({ application, user }, graceMs) {
      const only = ({ script }: { script: string | undefined }): boolean => script === 'start';
      if (graceMs > 0) await stop(application.name);
      await terminate(application.dataDir, { graceMs: 0, user, only });
      await stop(application.name);
    },
    inside: ({ user }) => Promise.resolve({ user }),
  };
}

const SHOWN = ['--property=MainPID,ActiveState,Result,ExecMainCode,ExecMainStatus'];

async function findSystemd(command: typeof commandOutput): Promise<Availability> {
  // sd_booted(3)
  const booted = await stat('/run/systemd/system').then(
    (there) => there.isDirectory(),
    () => false,
  );
  if (!booted) return { available: false, why: 'executor: systemd takes a gateway that systemd has started' };
  if (process.getuid?.() !== 0) return { available: false, why: 'executor: systemd takes an agent that is root' };
  const said = await command('systemd-run', ['--version']);
  const version = /^systemd (\d+)/m.exec(said.output)?.[1];
  if (said.code !== 0 || version === undefined) {
    return { available: false, why: 'executor: systemd takes systemd-run on the gateway' };
  }
  if ((await command('setpriv', ['--version'])).code !== 0) {
    return { available: false, why: 'executor: systemd takes setpriv (util-linux) on the gateway' };
  }
  if (Number(version) < OLDEST) {
    return { available: false, why: `executor: systemd takes systemd ${OLDEST} or later, here is ${version}` };
  }
  return { available: true, version };
}

/** Nothing secret is among them: arguments can be read by everybody. */
export function systemdRunArguments({ application, user }: Workload, unit: string, environmentFile: string): string[] {
  const { name, version, binaryDir, controlDir, logFile, run } = application;
  const { cpu, memory, processes } = run.limits ?? {};
  const properties = {
    Description: `LEONORE application ${name} ${version}`,
    Type: 'exec',
    // Kept after its end, for its exit code.
    RemainAfterExit: 'yes',
    Restart: 'no',
    WorkingDirectory: escaped(binaryDir),
    EnvironmentFile: escaped(environmentFile),
    StandardInput: 'null',
    StandardOutput: `append:${escaped(logFile)}`,
    StandardError: `append:${escaped(logFile)}`,
    KillMode: 'control-group',
    TimeoutStopSec: String(run.stopTimeoutSeconds),
    ...(user === undefined ? {} : { NoNewPrivileges: 'yes' }),
    // In percent of one processor.
    ...(cpu === undefined ? {} : { CPUQuota: `${Math.max(1, Math.round(cpu * 100))}%` }),
    ...(memory === undefined ? {} : { MemoryMax: String(memory), OOMPolicy: 'kill' }),
    ...(processes === undefined ? {} : { TasksMax: String(processes) }),
  };
  return [
    '--quiet',
    `--unit=${unit}`,
    ...Object.entries(properties).map(([key, value]) => `--property=${key}=${value}`),
    '--',
    ...(user === undefined ? [] : asUser(user)),
    join(controlDir, 'start'),
  ];
}

/** `User=` takes only those that have a name: systemd fails with 217/USER for others. */
function asUser(id: number): string[] {
  return ['setpriv', `--reuid=${id}`, `--regid=${id}`, '--clear-groups', '--inh-caps=-all', '--bounding-set=-all'];
}

/** `%` begins a specifier. */
function escaped(path: string): string {
  return path.replaceAll('%', '%%');
}

/** EnvironmentFile= as systemd.exec(5) has it: in double quotes, where a backslash goes before these. */
export function environmentText(env: Readonly<Record<string, string>>): string {
  const lines = Object.entries(env).map(([key, value]) => `${key}="${value.replaceAll(/["\\`$]/g, '\\$&')}"`);
  return `${lines.join('\n')}\n`;
}

/** CLD_EXITED of waitid(2); others are ends by a signal. */
const EXITED = 1;

export function endingOf(shown: string): Ending {
  const value = (key: string): string => new RegExp(`^${key}=(.*)$`, 'm').exec(shown)?.[1] ?? '';
  const how = Number(value('ExecMainCode'));
  const status = Number(value('ExecMainStatus'));
  const why = value('Result') === 'oom-kill' ? { why: 'more memory than its limit' } : {};
  if (how === EXITED) return { code: status, signal: null, ...why };
  if (how === 0) return { code: null, signal: null, ...why };
  return { code: null, signal: signalName(status), ...why };
}

function signalName(number: number): string {
  return Object.entries(constants.signals).find(([, value]) => value === number)?.[0] ?? `signal ${number}`;
}
