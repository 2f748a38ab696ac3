/**
 * What a protocol has to be for the agent. Each lives in a folder of its own and is entered in `protocols.ts`; the agent
 * knows none of them by name. A channel is one way to the server: it hears of tasks (by asking, or by being told), and
 * carries what the gateway has to say. What a protocol has no words for it leaves out: another channel does it.
 */
import type { DdiDeployment, DdiFeedback, GatewayProfile, Strategy } from '@leonore/protocol';
import type { HttpClient } from './http/http-client.ts';
import type { TlsMaterial } from './tls.ts';
import type { ContactLog } from './contact-log.ts';
import type { Logger } from './logger.ts';
import type { Clock } from './wait.ts';

/** Where the server can be reached, in its own words. They may change. */
export interface ServerAddresses {
  readonly ddiUrl: string;
  readonly mqttUrl?: string | undefined;
  readonly coapUrl?: string | undefined;
}

/** Who speaks, and to whom. */
export interface GatewayCredentials {
  /** Base address, as the gateway's owner gave it. */
  readonly server: string;
  readonly tenant: string;
  readonly id: string;
  readonly secret: string;
}

/** Where a channel says what it hears. */
export interface ChannelListener {
  onTask(deployment: DdiDeployment): Promise<void>;
  onCancel(actionId: string): Promise<void>;
  /** There was no task for this gateway when it asked at `askedAt`, by the clock's `elapsed`. */
  onIdle(askedAt: number): void;
  /** The server asks who this is. */
  onProfileWanted(): void;
  /** Where else the server can be reached; what it did not speak of is left out. */
  onAddresses(addresses: Partial<ServerAddresses>): void;
  /** The server does not take the credentials. */
  onStranger(signal: AbortSignal): Promise<void>;
  /** `connected` has changed. */
  onChange(): void;
}

export interface ChannelContext {
  readonly address: string;
  readonly gateway: GatewayCredentials;
  readonly listener: ChannelListener;
  /** Requests over HTTP, by the way that the gateway's owner prescribes. */
  readonly client: HttpClient;
  readonly tls: TlsMaterial;
  /** Between two questions for work, ms, when the server's wish is `toldSeconds`. */
  readonly intervalMs: (toldSeconds: number | undefined) => number;
  /** Let the server hold a question this long, seconds. */
  readonly longPollSeconds?: number | undefined;
  readonly retry?: { readonly initialMs: number; readonly maxMs: number } | undefined;
  readonly clock: Clock;
  readonly random: () => number;
  readonly logger: Logger;
  readonly contact: ContactLog;
}

/** `gone`: the task has ended, forget it. `unknown`: this server does not know it. */
export type FeedbackOutcome = 'accepted' | 'gone' | 'unknown';

/** Bytes from `offset` on, up to `end` (exclusive) or to the last, provided they are still those that `etag` names. */
export interface DownloadRange {
  readonly offset?: number;
  readonly end?: number | undefined;
  readonly etag?: string | undefined;
  /** Silence after which the connection is given up, ms: longer where the bytes are taken slowly. */
  readonly idleTimeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface DownloadAnswer {
  /** Where in the package `body` starts: the asked offset, or 0 when the server sends all of it. */
  readonly offset: number;
  /** Where it ends (exclusive), as far as the server says. */
  readonly end?: number | undefined;
  /** Length of the whole package as the server says, bytes. */
  readonly total: number | undefined;
  readonly etag: string | undefined;
  /** Ends early without an error in no case: a cut connection throws. */
  readonly body: AsyncIterable<Uint8Array>;
}

export interface Channel extends AsyncDisposable {
  /** What is said now has a chance to arrive. */
  readonly connected: boolean;
  /** Hears until the signal is aborted; what is to be said is carried until the channel is disposed of. Never rejects. */
  run(signal: AbortSignal): Promise<void>;
  /** Asks for work now, or at a random moment within `withinMs`, so that a fleet does not ask all at once. */
  ask?(withinMs: number): void;
  report?(actionId: string, report: DdiFeedback, signal?: AbortSignal): Promise<FeedbackOutcome>;
  /** The answer to a cancel. */
  reportCancel?(actionId: string, report: DdiFeedback, signal?: AbortSignal): Promise<FeedbackOutcome>;
  putProfile?(profile: GatewayProfile, signal?: AbortSignal): Promise<void>;
  /** RFC 7396. Over a channel without answers a refusal shows later: the server asks for the profile. */
  patchProfile?(patch: unknown, signal?: AbortSignal): Promise<void>;
  download?(url: string, range?: DownloadRange): Promise<DownloadAnswer>;
}

export interface Protocol {
  readonly name: string;
  readonly strategy: Strategy;
  /** Where this server speaks it, or why it is not spoken with it. Pure. */
  offer(
    addresses: ServerAddresses,
    gateway: GatewayCredentials,
  ): { readonly address: string } | { readonly not: string };
  open(context: ChannelContext): Channel;
}
