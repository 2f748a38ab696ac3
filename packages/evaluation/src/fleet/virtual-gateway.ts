/**
 * One simulated gateway: everything of a real one that the wire can see, nothing on disk. Speaks through the agent's own
 * protocol code; takes one task at a time; checks every byte of a package; believes its own list of what is installed.
 * Leaves to others: when to poll, enrolment, keeping the MQTT session.
 *
 *     idle -> download -> check -> report        success: `installed` changes      a wrong byte: reported as failure
 */
import {
  type AgentTask,
  createBackoff,
  downloadPackage,
  errorText,
  type FeedbackOutcome,
  feedback,
  type HttpConnectivity,
  isPassing,
  type MqttConnectivity,
  parseTask,
  retryAfterMs,
  sleep,
} from '@leonore/agent';
import type { DdiDeployment, DdiFeedback, InstalledComponent } from '@leonore/protocol';
import type { HeaderReader } from './header-reader.ts';
import { afterPackage } from './installed-components.ts';
import { createPackageCheck } from './package-check.ts';

export const TASK_OUTCOMES = ['succeeded', 'failed', 'rejected', 'canceled'] as const;
export type TaskOutcome = (typeof TASK_OUTCOMES)[number];

/** A task that this gateway brought to an end. */
export interface TaskEnd {
  readonly actionId: string;
  /** Absent when it was canceled before this gateway had looked at it. */
  readonly task?: AgentTask;
  /** The document that it came in. */
  readonly deployment?: DdiDeployment;
  readonly outcome: TaskOutcome;
  /** From the moment it heard of the task until its last report was taken, ms. */
  readonly ms: number;
  /** Why it did not succeed. */
  readonly reason?: string;
}

export interface VirtualGateway {
  readonly id: string;
  readonly installed: readonly InstalledComponent[];
  /** Works on a task now. */
  readonly busy: boolean;
  readonly connected: boolean;
  /** How many tasks ended in which way. */
  readonly outcomes: Readonly<Record<TaskOutcome, number>>;
  /** The last thing that went wrong. */
  readonly lastFault: string | undefined;
}

export interface GatewayTraffic {
  /** HTTP requests, among them polls. */
  requests: number;
  polls: number;
  messagesSent: number;
  messagesReceived: number;
  /** Of packages, as they came over the wire. */
  packageBytes: number;
}

export interface VirtualGatewayOptions {
  readonly id: string;
  readonly http: HttpConnectivity;
  /** Reports go this way while it is connected. */
  readonly mqtt?: () => MqttConnectivity | undefined;
  readonly traffic: GatewayTraffic;
  /** Shared by the fleet. */
  readonly readHeader: HeaderReader;
  readonly installed?: readonly InstalledComponent[];
  readonly random: () => number;
  readonly now: () => number;
  /** This gateway's own: see signal-fan.ts. */
  readonly signal: AbortSignal;
  /** Seconds that the server may hold a poll. */
  readonly waitSeconds?: number | undefined;
  readonly onEnd: (gateway: VirtualGateway, end: TaskEnd) => void;
}

export interface DrivenGateway extends VirtualGateway {
  /** Polls once and does what the answer says; does nothing while it is busy or a poll is under way. Never rejects. */
  poll(): Promise<void>;
  /** Takes a task document, however it came; fulfilled when the task has ended. Never rejects. */
  take(deployment: DdiDeployment): Promise<void>;
  /** A cancel that was pushed. Work that can no longer stop goes on, and its end is what the server hears. Never rejects. */
  cancel(actionId: string): Promise<void>;
}

/** The work of a task, after which there is something to report. */
type Work =
  | { readonly outcome: 'succeeded'; readonly report: DdiFeedback }
  | { readonly outcome: Exclude<TaskOutcome, 'succeeded'>; readonly report: DdiFeedback; readonly reason: string };

interface Working {
  readonly actionId: string;
  canceled: boolean;
}

const REPORT_BACKOFF = { initialMs: 500, maxMs: 30_000 };
const DOWNLOAD_BACKOFF = { initialMs: 200, maxMs: 10_000 };

export function createVirtualGateway(options: VirtualGatewayOptions): DrivenGateway {
  const { id, http, traffic, random, now, signal } = options;
  const outcomes: Record<TaskOutcome, number> = { succeeded: 0, failed: 0, rejected: 0, canceled: 0 };
  let installed: readonly InstalledComponent[] = options.installed ?? [];
  let polling = false;
  let working: Working | undefined;
  /** A newer task that came while this one was under way. */
  let next: DdiDeployment | undefined;
  let last: { sequence: number; report: DdiFeedback } | undefined;
  let lastFault: string | undefined;

  const gateway: DrivenGateway = {
    id,
    get installed() {
      return installed;
    },
    get busy() {
      return working !== undefined;
    },
    get connected() {
      return options.mqtt?.()?.connected ?? false;
    },
    outcomes,
    get lastFault() {
      return lastFault;
    },
    async poll() {
      if (polling || working || signal.aborted) return;
      polling = true;
      let deployment: DdiDeployment | undefined;
      try {
        traffic.polls += 1;
        const answer = await http.poll({ waitSeconds: options.waitSeconds, signal });
        const canceled = answer.cancelUrl === undefined ? undefined : await http.cancel(answer.cancelUrl, signal);
        if (canceled) await confirmCancel(canceled.cancelAction.stopId);
        else if (answer.deploymentUrl !== undefined) deployment = await http.deployment(answer.deploymentUrl, signal);
      } catch (error) {
        noteFault(error);
      } finally {
        polling = false;
      }
      if (deployment) await gateway.take(deployment);
    },
    async take(deployment) {
      if (working) {
        if (deployment.id !== working.actionId) next = deployment;
        return;
      }
      working = { actionId: deployment.id, canceled: false };
      try {
        await perform(deployment, working);
      } catch (error) {
        noteFault(error);
      } finally {
        working = undefined;
      }
      const waiting = next;
      next = undefined;
      if (waiting && !signal.aborted) await gateway.take(waiting);
    },
    async cancel(actionId) {
      if (working?.actionId === actionId) {
        working.canceled = true;
        return;
      }
      if (next?.id === actionId) next = undefined;
      await confirmCancel(actionId).catch(noteFault);
    },
  };

  function noteFault(error: unknown): void {
    if (!signal.aborted) lastFault = errorText(error);
  }

  async function perform(deployment: DdiDeployment, state: Working): Promise<void> {
    const startedAt = now();
    let task: AgentTask;
    try {
      task = parseTask(deployment);
    } catch (error) {
      const work = rejected(errorText(error));
      if ((await send(deployment.id, work.report)) === 'accepted') end(deployment.id, work, 0, { deployment });
      return;
    }
    if (last && task.sequence === last.sequence) {
      await send(task.actionId, last.report);
      return;
    }
    const work = refusal(task) ?? (await install(task, deployment, state));
    if (!work) return;
    if (!last || task.sequence > last.sequence) last = { sequence: task.sequence, report: work.report };
    const taken =
      work.outcome === 'canceled'
        ? await http.cancelFeedback(task.actionId, work.report, signal)
        : await send(task.actionId, work.report);
    if (taken === 'accepted') end(task.actionId, work, now() - startedAt, { task, deployment });
  }

  function end(actionId: string, work: Work, ms: number, of: Pick<TaskEnd, 'task' | 'deployment'> = {}): void {
    outcomes[work.outcome] += 1;
    if (work.outcome !== 'succeeded') lastFault = work.reason;
    const reason = work.outcome === 'succeeded' ? {} : { reason: work.reason };
    options.onEnd(gateway, { actionId, outcome: work.outcome, ms, ...of, ...reason });
  }

  /** What is refused before anything is touched. */
  function refusal(task: AgentTask): Work | undefined {
    if (last && task.sequence < last.sequence) {
      return rejected(`task ${task.sequence} is older than ${last.sequence}`);
    }
    return task.expires < now() ? rejected('the task has expired') : undefined;
  }

  function rejected(reason: string): Work {
    return { outcome: 'rejected', reason, report: feedback('rejected', 'failure', { details: [reason], installed }) };
  }

  /** Undefined: the server has ended the task meanwhile (deadline, abort), so there is nothing to say. */
  async function install(task: AgentTask, deployment: DdiDeployment, state: Working): Promise<Work | undefined> {
    try {
      if ((await send(task.actionId, feedback('download', 'none'))) !== 'accepted') return undefined;
      const check = createPackageCheck(task, wholeDigest(deployment), options.readHeader);
      const append = (chunk: Uint8Array): Promise<void> => {
        traffic.packageBytes += chunk.length;
        return check.append(chunk);
      };
      await downloadPackage(http, task, { ...check, append }, { signal, random, ...DOWNLOAD_BACKOFF });
      const manifest = await check.finish();
      if (state.canceled) return canceled();
      if ((await send(task.actionId, feedback('downloaded', 'none'))) !== 'accepted') return undefined;
      installed = afterPackage(installed, manifest);
      return { outcome: 'succeeded', report: feedback('closed', 'success', { installed }) };
    } catch (error) {
      signal.throwIfAborted();
      const reason = errorText(error);
      return { outcome: 'failed', reason, report: feedback('closed', 'failure', { details: [reason], installed }) };
    }
  }

  function canceled(): Work {
    const reason = 'canceled before the installation began';
    return { outcome: 'canceled', reason, report: feedback('closed', 'success', { details: [reason], installed }) };
  }

  async function confirmCancel(actionId: string): Promise<void> {
    const work = canceled();
    if ((await http.cancelFeedback(actionId, work.report, signal)) === 'accepted') end(actionId, work, 0);
  }

  /** By MQTT while connected, else by HTTP; until it is taken. */
  async function send(actionId: string, report: DdiFeedback): Promise<FeedbackOutcome> {
    const backoff = createBackoff({ ...REPORT_BACKOFF, random });
    for (;;) {
      const mqtt = options.mqtt?.();
      try {
        if (mqtt?.connected) {
          traffic.messagesSent += 1;
          await mqtt.report(actionId, report);
          return 'accepted';
        }
        return await http.feedback(actionId, report, signal);
      } catch (error) {
        signal.throwIfAborted();
        if (!mqtt && !isPassing(error)) throw error;
        await sleep(backoff.next(retryAfterMs(error)), signal);
      }
    }
  }

  return gateway;
}

function wholeDigest(deployment: DdiDeployment): string {
  return deployment.deployment.chunks[0]?.artifacts[0]?.hashes.sha256 ?? '';
}
