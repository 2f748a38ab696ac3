/**
 * The agent's own program, one file for machines that have a Node and nothing else of LEONORE (scripts/build-agent.ts makes
 * it). `leonore agent` is the same with the whole command line around it.
 */
import { EXIT, exitCodeOf, isLeonoreError, harmless } from '@leonore/protocol';
import { AGENT_VERSION } from '../agent/version.ts';
import { errorText } from '../connectivity/mod.ts';
import { agentHelp } from './help.ts';
import { fillOlderNode } from './older-node.ts';
import { parseWords } from './read-flags.ts';
import { runFromFlags } from './run-from-flags.ts';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Runs one call in this process. Gives its exit code; throws nothing. */
export async function agentMain(process: NodeJS.Process): Promise<number> {
  fillOlderNode();
  const { stdout, stderr, env } = process;
  // Nobody listens to what is said any more; the agent goes on.
  for (const stream of [stdout, stderr]) stream.on('error', () => undefined);
  try {
    const { help, version, ...given } = parseWords(process.argv.slice(2));
    if (help || version) {
      stdout.write(`${help ? agentHelp() : AGENT_VERSION}\n`);
      return EXIT.done;
    }
    const place = { cwd: process.cwd(), env };
    return await runFromFlags(given, place, (line) => void stderr.write(`${line}\n`), untilTold(process));
  } catch (error) {
    stderr.write(`error: ${harmless(errorText(error))}\n`);
    return isLeonoreError(error) ? exitCodeOf(error) : EXIT.failed;
  }
}

function untilTold(process: NodeJS.Process): AbortSignal {
  const stop = new AbortController();
  for (const signal of SIGNALS) {
    process.on(signal, () => {
      // Asked twice: whoever waits for something that does not end shall get out.
      if (stop.signal.aborted) process.exit(EXIT.failed);
      stop.abort(new Error(`told to stop by ${signal}`));
    });
  }
  return stop.signal;
}
