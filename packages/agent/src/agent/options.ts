/** What the agent is told when it is started. */
import type { GatewayProfile, Labels, Strategy } from '@leonore/protocol';
import type { Logger } from '../connectivity/mod.ts';
import type { ContainerTiming } from '../container/mod.ts';
import type { Probe } from '../profiler/mod.ts';

export interface AgentOptions {
  /** Base address of the server, http(s)://HOST:PORT. */
  readonly server: string;
  /** `[a-z0-9][a-z0-9._-]{0,62}`. */
  readonly id: string;
  /** The agent's one folder; nothing is written outside of it but install paths, when `installRoot` says so. */
  readonly root: string;
  /** Enrolment token; needed once. */
  readonly token?: string | undefined;
  /** `push` waits for tasks over MQTT and polls slowly beside it; without a broker it pulls. */
  readonly strategy: Strategy;
  /** Wins over what the server says. */
  readonly pollIntervalMs?: number | undefined;
  readonly labels?: Labels;
  /** What stands for `/` in install paths; default ROOT/rootfs. */
  readonly installRoot?: string | undefined;
  /** A merge patch over the profile that was found: one machine plays several (demos). */
  readonly profileOverrides?: Partial<GatewayProfile> | undefined;
  readonly logger: Logger;
  /** For tests and unusual places. */
  readonly tuning?: AgentTuning;
}

export interface AgentTuning {
  readonly container?: Partial<ContainerTiming>;
  /** First and longest ceiling of delays before something is tried again, ms. */
  readonly retry?: { readonly initialMs: number; readonly maxMs: number };
  /** Between polls while push works, ms. */
  readonly repairPollMs?: number;
  /** Between two looks whether the profile has news, ms. */
  readonly profileCheckMs?: number;
  /** Ask the server to hold a poll this long until there is work (`Prefer: wait`), seconds. */
  readonly longPollSeconds?: number;
  readonly maxLogBytes?: number;
  readonly probes?: readonly Probe[];
  readonly freeBytes?: () => Promise<number>;
  readonly now?: () => number;
}
