/** The agent as a process runs it: from the words of its call until it is told to stop. */
import { RESTART_EXIT_CODE, runAgent } from '../agent/mod.ts';
import { EXIT } from '@leonore/protocol';
import { agentOptions } from './agent-options.ts';
import type { Given } from './config-file.ts';
import { endApplications } from './end-applications.ts';
import { createLineLogger } from './line-logger.ts';
import { type Place, readFlags } from './read-flags.ts';

/** `write`: where a line of its log goes. Fulfilled after `signal` with the exit code, or when the launcher is to run another agent. @throws LeonoreError when it cannot begin. */
export async function runFromFlags(
  given: Given,
  place: Place,
  write: (line: string) => void,
  signal: AbortSignal,
): Promise<number> {
  const flags = await readFlags(given, place);
  const options = agentOptions(
    flags,
    place,
    createLineLogger(write, flags.logLevel, () => new Date()),
  );
  let isReplaced = false;
  try {
    isReplaced = (await runAgent(options, signal)) === 'restart';
    return isReplaced ? RESTART_EXIT_CODE : EXIT.done;
  } finally {
    if (flags.stopApplications && !isReplaced) await endApplications(options.root);
  }
}
