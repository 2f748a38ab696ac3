/** Carries out one task: fetches its package, asks whether it may be installed here, installs it, and reports how it went. */
import { isLeonoreError, type PackageManifest } from '@leonore/protocol';
import { type AgentTask, errorText } from '../connectivity/mod.ts';
import { airText } from './air-text.ts';
import type { Attempts } from './attempts.ts';
import type { Changes, ChangesDeps } from './changes.ts';
import { type FetchedPackage, type FetchPackageDeps, fetchPackage, Refusal } from './fetch-package.ts';
import type { InstallPathRules } from './install-paths.ts';
import { packageFault } from './package-fault.ts';
import { type Plan, planChange } from './plan.ts';
import { putInOrder } from './put-in-order.ts';
import type { TaskEnds } from './task-ends.ts';
import type { StepName, TaskRecord } from './task-record.ts';
import { tellProgress } from './tell-progress.ts';
import type { TimeFloor } from './time-floor.ts';

export interface CarryOutDeps
  extends ChangesDeps,
    Omit<FetchPackageDeps, 'floors' | 'beforeUnpack' | 'refusal' | 'folder' | 'logger'> {
  readonly installPaths: InstallPathRules;
  /** Another agent can be tried. */
  readonly hasLauncher: boolean;
  readonly time: TimeFloor;
  /** Until a download that goes on is told of for the first time, ms; then ever more rarely. */
  readonly progressMs?: number | undefined;
}

/** A task under way. */
export interface Work {
  readonly task: AgentTask;
  /** While downloading nothing was touched, so it can be stopped. */
  phase: 'downloading' | 'installing';
  readonly record: TaskRecord;
  readonly aborting: AbortController;
}

/** After this many in unpacking it is tried without deltas, which need memory. */
const ATTEMPTS_WITH_DELTAS = 2;

/** The function that carries out one task. It is fulfilled when the task has ended, or was stopped. */
export function createCarryOut(
  deps: CarryOutDeps,
  { ends, changes, attempts }: { readonly ends: TaskEnds; readonly changes: Changes; readonly attempts: Attempts },
): (work: Work) => Promise<void> {
  const { container, journal, logger, state } = deps;

  const refusal = async (manifest: PackageManifest, plan: Plan): Promise<string | undefined> => {
    for (const { name, run } of manifest.components) {
      const refused = await container.refusal(run);
      if (refused !== undefined) return `${name} cannot run here: ${refused}`;
    }
    return packageFault(manifest, plan, { ...deps.installPaths, hasLauncher: deps.hasLauncher });
  };

  const fetch = ({ task, record, aborting }: Work): Promise<FetchedPackage> => {
    const withDeltas = attempts.of(task, 'unpacking') < ATTEMPTS_WITH_DELTAS;
    let counted: Promise<void> | undefined;
    return fetchPackage(
      {
        ...deps,
        floors: () => state.value.floors ?? {},
        refusal,
        beforeUnpack() {
          record.step(UNPACK);
          return (counted ??= attempts.count(task, 'unpacking'));
        },
      },
      withDeltas ? task : { ...task, deltas: [] },
      aborting.signal,
      record.air,
    );
  };

  /** The same with news of how far it is. */
  const fetchAndTell = async (work: Work): Promise<FetchedPackage> => {
    const { task, record, aborting } = work;
    record.step({ kind: 'download', label: 'download the package' });
    const over = new AbortController();
    void tellProgress(
      {
        air: record.air,
        size: task.size,
        tell: (words, progress) => ends.tell(task.actionId, 'download', [words], progress),
        firstMs: deps.progressMs,
      },
      AbortSignal.any([aborting.signal, over.signal]),
    );
    return fetch(work).finally(() => over.abort());
  };

  const install = async ({ task, record, aborting }: Work, fetched: FetchedPackage): Promise<void> => {
    const late = deps.time.expired(task.expires, 'last');
    if (late !== undefined) throw new Refusal(late);
    if (await journal.read()) {
      throw new Error('the transaction before this one cannot be ended; see the log of the agent');
    }
    const guard = { floors: state.value.floors ?? {}, meant: task.downgrade ?? [] };
    const planned = planChange(state.value.installed, fetched.manifest, task.sequence, guard);
    if (planned.outcome === 'refused') throw new Refusal(planned.why);
    const { plan } = planned;
    const refused = await refusal(fetched.manifest, plan);
    if (refused !== undefined) throw new Refusal(refused);
    await attempts.count(task, 'installing');
    await changes.run({ task, plan, fetched, record, signal: aborting.signal });
  };

  return async (work) => {
    const { task, record } = work;
    const { signal } = work.aborting;
    try {
      record.step({ kind: 'accept', label: 'accept the task' });
      const late = deps.time.expired(task.expires);
      if (late !== undefined) throw new Refusal(late);
      logger.info('task begins', { action: task.actionId, package: task.packageId, bytes: task.size });
      await ends.tell(task.actionId, 'download');
      // Before anything of this task is on the disk: what is done here deletes what lies in downloads and staging.
      await changes.endOpen();
      await putInOrder(deps, state.value.installed, !state.rebuilt);
      const fetched = await fetchAndTell(work);
      signal.throwIfAborted();
      work.phase = 'installing';
      record.step({ kind: 'plan', label: 'plan the change' });
      logger.info('package is here', { action: task.actionId, bytes: fetched.bytes, of: task.size });
      await ends.tell(task.actionId, 'downloaded', [airText(fetched.bytes, task.size)]);
      await install(work, fetched);
    } catch (error) {
      if (signal.aborted) {
        logger.info('task stopped', { action: task.actionId, why: errorText(signal.reason) });
        // It was asked to; that is no attempt that came to no end.
        if (state.value.attempts?.sequence === task.sequence) await ends.keep({ attempts: undefined });
        return;
      }
      record.fail(error, nameInTheLightOf(error));
      const outcome = record.outcome({ ...attempts.facts(task), running: ends.installed(), size: task.size });
      if (error instanceof Refusal) await ends.end(task, 'rejected', [error.message], outcome);
      else await ends.end(task, 'closed', [errorText(error)], outcome);
    }
  };
}

const UNPACK: StepName = { kind: 'unpack', label: 'unpack the package' };

/** Only when something failed it turns out what was going on. */
function nameInTheLightOf(error: unknown): StepName | undefined {
  if (error instanceof Refusal) return { kind: 'accept', label: 'accept the task' };
  const isUnsound = isLeonoreError(error) && error.code.startsWith('archive.');
  return isUnsound ? { kind: 'verify', label: 'verify the package' } : undefined;
}
