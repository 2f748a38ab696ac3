/**
 * What time it is at least, for tasks that expire: on gateways whose clock says 1970 after each loss of power, or 2099
 * because somebody has set it so.
 *
 *   time    what the server's clock says by its last answer; the gateway's own only until it has answered
 *   floor   max(when this agent was made, the newest time of the server that was kept); it never falls
 *
 * An expired task stays expired whatever the own clock says, since it is below the floor. A clock that is ahead keeps
 * nothing from being installed: it counts for no verdict but the last one before an installation, and only when no answer
 * of the server has told the time until then. It never raises the floor, and neither does a server that differs from a
 * plausible own clock by more than a day: otherwise a year that was wrong once would be kept for ever.
 */
import type { StateStore } from './state.ts';

export interface TimeFloor {
  /** Milliseconds since 1970, as well as it is known. */
  now(): number;
  /** Why a task that expires at `expires` is too old, in words. `last`: there will be no other verdict. */
  expired(expires: number, verdict?: 'last'): string | undefined;
  /** Keeps what is known now, once a day. */
  keep(): Promise<void>;
}

export interface TimeFloorOptions {
  readonly state: Pick<StateStore, 'value' | 'save'>;
  /** By the clock of the server, milliseconds since 1970; undefined before it has answered. */
  readonly serverTime: () => number | undefined;
  /** By the clock of this machine, milliseconds since 1970. */
  readonly now: () => number;
  /** When this agent was made, milliseconds since 1970. */
  readonly madeAt: number;
}

const DAY_MS = 86_400_000;

export function createTimeFloor({ state, serverTime, now, madeAt }: TimeFloorOptions): TimeFloor {
  const floor = (): number => Math.max(madeAt, state.value.timeFloor ?? 0);
  const isPlausible = (server: number): boolean => now() < madeAt || Math.abs(server - now()) <= DAY_MS;
  return {
    now: () => Math.max(floor(), serverTime() ?? now()),
    expired(expires, verdict) {
      const server = serverTime();
      const at = `it has expired at ${date(expires)}`;
      if (expires < madeAt) return `${at}, before this agent was made; look at the clock of the server`;
      if (server !== undefined && expires < server) return `${at}; the server's clock says ${date(server)}`;
      if (expires < floor()) return `${at}; it was ${date(floor())} already, by the clock of the server`;
      if (server !== undefined || verdict !== 'last' || expires >= now()) return undefined;
      return `${at}; the clock of this gateway says ${date(now())}, and the server has not said yet what time it is`;
    },
    async keep() {
      const server = serverTime();
      if (server === undefined || server < floor() + DAY_MS || !isPlausible(server)) return;
      await state.save({ timeFloor: Math.floor(server) });
    },
  };
}

/** Also for what is no date. */
function date(ms: number): string {
  return Number.isFinite(ms) && Math.abs(ms) <= 8.64e15 ? new Date(ms).toISOString() : String(ms);
}
