/** What the agent is told when it is started. */
import type { GatewayProfile, Labels, Strategy } from '@leonore/protocol';
import type { DownloadLimits, Logger, ProxySettings, TlsFiles } from '../connectivity/mod.ts';
import type { ApplicationUsers, ContainerTiming } from '../container/mod.ts';
import type { Launcher } from './launcher.ts';
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
  /** What is spoken with the server, best first, of `http`, `mqtt` and `coap`; default mqtt, http. */
  readonly protocols?: readonly string[] | undefined;
  /** Wins over what the server says. */
  readonly pollIntervalMs?: number | undefined;
  /** Where packages may come from beside the server itself: HOST, or HOST:PORT for one port of it; in lower case. */
  readonly allowHosts?: readonly string[] | undefined;
  /** Folders below which applications may be installed beside /opt, /srv, /usr/local, /var/lib and /var/opt; `/`: everywhere. */
  readonly allowInstallPaths?: readonly string[] | undefined;
  /** When and how fast packages may be brought. */
  readonly downloads?: DownloadLimits | undefined;
  /** The way that HTTP takes; MQTT goes straight. */
  readonly proxy?: ProxySettings | undefined;
  /** PEM files; read once. */
  readonly tls?: TlsFiles | undefined;
  readonly labels?: Labels;
  /** What stands for `/` in install paths; default ROOT/rootfs. */
  readonly installRoot?: string | undefined;
  /** Who applications run as where the agent is root; default `own`: each a user of its own, see docs/container.md. */
  readonly applicationUsers?: ApplicationUsers | undefined;
  /** A merge patch over the profile that was found: one machine plays several (demos). */
  readonly profileOverrides?: Partial<GatewayProfile> | undefined;
  /** Programs and files that say own facts of this gateway; default ROOT/facts.d, see docs/profile.md. */
  readonly factsDir?: string | undefined;
  /** Tell the server the serial number and MAC addresses too. */
  readonly hardwareIds?: boolean | undefined;
  /** What started this process, when it can try another agent: see launcher.ts. */
  readonly launcher?: Launcher | undefined;
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
  /** Between two messages about figures such as free memory, and two looks at what costs something, ms. */
  readonly profileSlowMs?: number;
  /** Until a download that goes on is told of for the first time, ms. */
  readonly progressMs?: number;
  /** Ask the server to hold a poll this long until there is work (`Prefer: wait`), seconds. */
  readonly longPollSeconds?: number;
  readonly maxLogBytes?: number;
  readonly probes?: readonly Probe[];
  readonly freeBytes?: () => Promise<number>;
  /** Bytes; bounds what deltas may take. */
  readonly memory?: () => { readonly total: number; readonly available: number };
  readonly now?: () => number;
}
