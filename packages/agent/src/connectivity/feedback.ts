/** Feedback documents as LEONORE's own agent writes them. */
import type { DdiFeedback, InstalledComponent, TaskOutcome, TaskProgress } from '@leonore/protocol';

export interface FeedbackOptions {
  readonly details?: readonly string[];
  /** What is on the gateway after this step. */
  readonly installed?: readonly InstalledComponent[];
  /** Milliseconds since 1970. */
  readonly timestamp?: number;
  readonly progress?: TaskProgress | undefined;
  /** With the end of a task. */
  readonly outcome?: TaskOutcome | undefined;
}

/** DDI takes 50 messages of a step; longer lines are cut. */
const MAX_DETAILS = 50;
const MAX_DETAIL_LENGTH = 1000;

export function feedback(
  execution: DdiFeedback['status']['execution'],
  finished: DdiFeedback['status']['result']['finished'],
  options: FeedbackOptions = {},
): DdiFeedback {
  const details = options.details?.slice(0, MAX_DETAILS).map((line) => line.slice(0, MAX_DETAIL_LENGTH));
  return {
    ...(options.timestamp === undefined ? {} : { timestamp: options.timestamp }),
    status: {
      execution,
      result: {
        finished,
        ...(options.progress ? { progress: { cnt: options.progress.count, of: options.progress.of } } : {}),
      },
      ...(details && details.length > 0 ? { details } : {}),
    },
    ...(options.installed ? { installed: [...options.installed] } : {}),
    ...(options.outcome ? { outcome: options.outcome } : {}),
  };
}

/** True for the report that ends a task. */
export function isClosing(report: DdiFeedback): boolean {
  return report.status.execution === 'closed' || report.status.execution === 'rejected';
}
