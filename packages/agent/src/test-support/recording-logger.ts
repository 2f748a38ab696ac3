/** A logger whose lines a test can read. */
import type { LogFacts, Logger } from '../connectivity/mod.ts';

export interface Line {
  readonly level: keyof Logger;
  readonly message: string;
  readonly facts: LogFacts;
}

/** `lines` without those for debugging. */
export function recordingLogger(): Logger & { readonly lines: Line[] } {
  const lines: Line[] = [];
  const at =
    (level: keyof Logger) =>
    (message: string, facts: LogFacts = {}) =>
      void lines.push({ level, message, facts });
  return { lines, debug: () => undefined, info: at('info'), warn: at('warn'), error: at('error') };
}
