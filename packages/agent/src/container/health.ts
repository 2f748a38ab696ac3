/**
 * Is the application well? Asks in the ways that its manifest names: something listens, something answers over HTTP,
 * and control/health ends with 0. All that are there must agree. Leaves to others: when it is asked, and what follows.
 */
import { request } from 'node:http';
import { connect } from 'node:net';
import type { Run } from '@leonore/protocol';
import type { Application } from './application.ts';
import { endingOf, hasScript, runScript, type ScriptOptions, scriptFault } from './control-script.ts';
import { tailLines } from './log-file.ts';

type Health = NonNullable<Run['health']>;
/** `unasked`: there is no way to ask. */
export type Verdict =
  | { readonly outcome: 'well' | 'unasked' }
  | {
      readonly outcome: 'unwell';
      readonly fault: string;
      readonly output: readonly string[];
      /** Of control/health. */
      readonly ending?: ReturnType<typeof endingOf>;
    };

const MAX_OUTPUT_LINES = 10;

/** Each way may take `timeoutMs`. @throws the signal's reason. */
export async function askHealth(application: Application, options: ScriptOptions): Promise<Verdict> {
  const { tcp, http } = application.run?.health ?? {};
  const { signal, timeoutMs } = options;
  const fault = (tcp && (await tcpFault(tcp, options))) ?? (http && (await httpFault(http, options)));
  signal?.throwIfAborted();
  if (fault !== undefined) return { outcome: 'unwell', fault, output: [] };
  const said = await runScript(application, 'health', options);
  if (said.outcome === 'absent') return { outcome: tcp || http ? 'well' : 'unasked' };
  const scripts = scriptFault('health', said, timeoutMs);
  return scripts === undefined
    ? { outcome: 'well' }
    : {
        outcome: 'unwell',
        fault: scripts,
        output: tailLines(said.output, MAX_OUTPUT_LINES),
        ending: endingOf(said),
      };
}

/** Whether there is any way to ask. */
export async function canAskHealth(application: Application): Promise<boolean> {
  const { tcp, http } = application.run?.health ?? {};
  return tcp !== undefined || http !== undefined || hasScript(application, 'health');
}

function tcpFault(
  { host, port }: NonNullable<Health['tcp']>,
  { timeoutMs, signal }: ScriptOptions,
): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const limit = limited(timeoutMs, signal, () => socket.destroy());
    const say = (fault?: string): void => {
      limit.stop();
      socket.destroy();
      resolve(fault);
    };
    const where = `tcp ${host}:${port}`;
    socket.once('connect', () => say());
    socket.once('error', (error) => say(`${where}: ${reason(error)}`));
    socket.once('close', () => say(slow(where, timeoutMs)));
  });
}

async function httpFault(http: NonNullable<Health['http']>, options: ScriptOptions): Promise<string | undefined> {
  const { host, port, path, status, https } = http;
  const { timeoutMs, signal } = options;
  const where = `${https ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${port}${path}`;
  // TLS takes memory that a gateway without it can keep.
  const secure = https ? await import('node:https') : undefined;
  return new Promise((resolve) => {
    const common = { host, port, path, agent: false, headers: { 'user-agent': 'leonore-agent', connection: 'close' } };
    // Whether something answers is the question, not who it is.
    const asked = secure ? secure.request({ ...common, rejectUnauthorized: false }) : request(common);
    const limit = limited(timeoutMs, signal, () => asked.destroy());
    const say = (fault?: string): void => {
      limit.stop();
      asked.destroy();
      resolve(fault);
    };
    asked.once('response', ({ statusCode = 0 }) => {
      const well = status === undefined ? statusCode >= 200 && statusCode < 400 : statusCode === status;
      say(well ? undefined : `${where}: status ${statusCode}`);
    });
    asked.on('error', (error) => say(limit.over() ? slow(where, timeoutMs) : `${where}: ${reason(error)}`));
    asked.once('close', () => say(slow(where, timeoutMs)));
    asked.end();
  });
}

/** Calls `stop` once, when the time is over or the signal is aborted. */
function limited(timeoutMs: number, signal: AbortSignal | undefined, stop: () => void) {
  let over = false;
  const timer = setTimeout(() => {
    over = true;
    stop();
  }, timeoutMs);
  signal?.addEventListener('abort', stop, { once: true });
  return {
    over: () => over,
    stop() {
      clearTimeout(timer);
      signal?.removeEventListener('abort', stop);
    },
  };
}

function slow(where: string, timeoutMs: number): string {
  return `${where}: no answer within ${inSeconds(timeoutMs)}`;
}

function inSeconds(ms: number): string {
  return `${Math.round(ms / 100) / 10} s`;
}

function reason(error: Error): string {
  if ('code' in error && error.code === 'ECONNREFUSED') return 'nobody listens there';
  return error.message;
}
