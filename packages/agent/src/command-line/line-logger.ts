/** The agent's log as lines that people read: time, level, message, facts. */
import { harmless } from '@leonore/protocol';
import type { Logger } from '../connectivity/mod.ts';

export const LOG_LEVELS = ['silent', 'error', 'warn', 'info', 'debug'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export function createLineLogger(write: (line: string) => void, level: LogLevel, now: () => Date): Logger {
  const log =
    (at: Exclude<LogLevel, 'silent'>) =>
    (message: string, facts: Readonly<Record<string, unknown>> = {}) => {
      if (LOG_LEVELS.indexOf(at) > LOG_LEVELS.indexOf(level)) return;
      const words = Object.entries(facts).map(([key, value]) => `${key}=${formatFact(value)}`);
      write([now().toISOString(), at.padEnd(5), harmless(message), ...words].join(' '));
    };
  return { debug: log('debug'), info: log('info'), warn: log('warn'), error: log('error') };
}

function formatFact(value: unknown): string {
  if (typeof value === 'number' || typeof value === 'boolean' || value === undefined) return String(value);
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return /^[\w./:@+-]+$/.test(text) ? text : JSON.stringify(text);
}
