/**
 * The form of the recorded contract: for each call what is asked and what has to come back. In addresses and expectations
 * `{id}`, `{task}`, `{base}` (links of a poll), `{download}` (links to bytes), `{sha1}`, `{sha256}`, `{md5}` and `{size}` (of the
 * file) stand for what they are in this run; an expectation that begins with `~` is a regular expression.
 */
import type { CreateRollout, TaskState } from '@leonore/protocol';

export interface Call {
  /** What the contract says, in a few words. */
  readonly says: string;
  /** Below `/default/controller/v1/`; from the root when it begins with `/`. */
  readonly path: string;
  readonly method?: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'DELETE';
  /** Authorization is the gateway's TargetToken unless it is here; null leaves a header out. */
  readonly headers?: Readonly<Record<string, string | null>>;
  /** Sent as JSON. */
  readonly json?: unknown;
  readonly text?: string;
  readonly status: number;
  /** null: the header must not be there. */
  readonly answers?: Readonly<Record<string, string | null>>;
  /** JSON with exactly these members, or text. */
  readonly body?: unknown;
}

export type Step =
  | Call
  /** Of `firmware`, unless another application is named; `{task}` is its task from then on, or what `as` says. */
  | {
      readonly operator: 'rollout';
      readonly handling?: CreateRollout['handling'];
      readonly application?: 'firmware' | 'settings';
      readonly as?: string;
    }
  | { readonly operator: 'abort' }
  /** The gateway is to be asked anew what it says of itself. */
  | { readonly operator: 'refresh' }
  /** What LEONORE knows of the task by now. */
  | { readonly task: TaskState; readonly message?: string };

export interface Scenario {
  readonly name: string;
  readonly steps: readonly Step[];
}

export function feedback(execution: string, finished: string, more: object = {}): object {
  return { status: { execution, result: { finished }, ...more } };
}

/** A window that is open at `now`, or not open before some hours have gone. */
export function windowAt(now: number, open: boolean) {
  const start = new Date(now + (open ? -3_600_000 : 6 * 3_600_000));
  const schedule = `${start.getUTCMinutes()} ${start.getUTCHours()} * * *`;
  return { schedule, durationSeconds: 4 * 3600, timezone: '+00:00' };
}
