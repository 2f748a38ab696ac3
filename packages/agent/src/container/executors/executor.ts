/**
 * What the container asks of whatever runs applications. An executor brings one to life, finds it again after the agent
 * was away, and ends it with all that came of it. Leaves to others: when, how often, and whether it is well.
 */
import type { ControlScript, ExecutorName, InstalledComponent, Run } from '@leonore/protocol';
import type { RunnableApplication } from '../application.ts';
import type { ScriptOptions } from '../control-script.ts';
import type { PidFile } from '../pid-file.ts';

export type LimitsInForce = NonNullable<InstalledComponent['limits']>;

/** An application and who it is on this machine. */
export interface Workload {
  readonly application: RunnableApplication;
  /** User and group id of its own; undefined: the agent's. */
  readonly user: number | undefined;
  /** What its manifest asks for in vain. */
  readonly note?: string;
}

/** How it ended: neither code nor signal when nobody saw. */
export interface Ending {
  readonly code: number | null;
  readonly signal: string | null;
  /** Where more than that is known. */
  readonly why?: string | undefined;
}

export interface Running {
  readonly pid: number;
  /** See `ProcessInfo`. */
  readonly startTime: string;
  /** The workload's; undefined also when it was found running as another. */
  readonly user: number | undefined;
  /** Undefined when its manifest asks for none. */
  readonly limits: LimitsInForce | undefined;
  readonly ended: Promise<Ending>;
  /** Looks whether it is still there: of the end of what was not launched here nobody is told. */
  look(): Promise<void>;
}

export type Availability =
  | { readonly available: true; readonly version: string }
  | { readonly available: false; readonly why: string };

export interface Executor {
  readonly name: ExecutorName;
  available(): Promise<Availability>;
  /** Does what has to be done once for each version, before its control/install. Twice does no harm. */
  prepare(application: RunnableApplication): Promise<void>;
  /** Runs control/start; nothing of it runs already. @throws LeonoreError `agent.script-failed` when it cannot be executed. */
  launch(workload: Workload): Promise<Running>;
  /** What runs already of this build. Ends what runs of another. */
  adopt(workload: Workload, known: PidFile | undefined): Promise<Running | undefined>;
  /** SIGTERM, SIGKILL after `graceMs` (0: at once). `running`: where that is known. Fulfilled when nothing is left. */
  end(workload: Workload, graceMs: number, running?: Running): Promise<void>;
  /** How a control script is executed where the application runs, and as who. */
  inside(workload: Workload, script: ControlScript): Promise<Pick<ScriptOptions, 'user' | 'call'>>;
}

/** As `installedComponentSchema` has them. */
export function askedLimits(by: LimitsInForce['by'], run: Run): LimitsInForce | undefined {
  return run.limits && { by, ...run.limits };
}
