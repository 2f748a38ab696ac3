/**
 * The log of a gateway that may be out of reach for months: one line when the server goes away, one a day while it is
 * away, one when it is back. What others try in vain meanwhile is said as rarely.
 */
import { errorText, type LogFacts, type Logger } from './logger.ts';
import type { Clock } from './wait.ts';

export interface ContactLog {
  /** Nothing was heard of the server; the next try is in `inMs`. */
  lost(error: unknown, inMs: number): void;
  /** It has answered. */
  back(): void;
  /**
   * For whoever tries the same again and again: a warning that was given is given again after a day, or after `back`.
   * While the server is away there is none.
   */
  readonly repeated: Logger;
}

const DAY_MS = 24 * 3_600_000;
/** So many different warnings are told apart; what is more is said no more often than they are. */
const MAX_KINDS = 20;

export function createContactLog(
  logger: Logger,
  clock: Pick<Clock, 'elapsed'>,
  onBack: () => void = () => undefined,
): ContactLog {
  const said = new Map<string, { at: number; unsaid: number }>();
  let lostAt: number | undefined;

  const warn = (message: string, facts: LogFacts = {}): void => {
    // Numbers in an error (bytes, ports) make it no other.
    const { error } = facts;
    const kind = typeof error === 'string' ? `${message} ${error.replaceAll(/\d+/g, '0')}` : message;
    const key = said.has(kind) || said.size < MAX_KINDS ? kind : '';
    const before = said.get(key);
    if (before && clock.elapsed() - before.at < DAY_MS) {
      before.unsaid += 1;
      return logger.debug(message, facts);
    }
    said.set(key, { at: clock.elapsed(), unsaid: 0 });
    logger.warn(message, { ...facts, ...(before ? { timesSince: before.unsaid + 1 } : {}) });
  };

  return {
    lost(error, inMs) {
      lostAt ??= clock.elapsed();
      warn('cannot ask the server for work; trying again', { error: errorText(error), inMs: Math.round(inMs) });
    },
    back() {
      if (lostAt === undefined) return;
      logger.info('the server answers again', { afterSeconds: Math.round((clock.elapsed() - lostAt) / 1000) });
      lostAt = undefined;
      said.clear();
      onBack();
    },
    repeated: {
      debug: (message, facts) => logger.debug(message, facts),
      info: (message, facts) => logger.info(message, facts),
      warn: (message, facts) => (lostAt === undefined ? warn(message, facts) : logger.debug(message, facts)),
      error: (message, facts) => logger.error(message, facts),
    },
  };
}
