/** What a rollout's handling means at a given time: for the gateway, and for the task's deadlines. Pure. */
import {
  type DdiHandling,
  type Explanation,
  type Handling,
  type HandlingMode,
  MAX_WEIGHT,
  maintenanceWindowAt,
  maintenanceWindowWithin,
} from '@leonore/protocol';
import type { DeliveryHandling } from '../gateway-handler/mod.ts';
import type { GatewayRecord, TaskRecord } from '../repositories/mod.ts';

export function handlingAt(handling: Handling | undefined, now: number): DeliveryHandling {
  const { mode = 'forced', forcedAt = 0, window } = handling ?? {};
  const wanted = now >= forcedAt && mode === 'time-forced' ? 'forced' : mode;
  const { download, update } = ACTIONS[wanted];
  if (!window) return { download, update };
  const { open } = maintenanceWindowAt(window, now);
  return {
    download,
    update: open ? update : 'skip',
    maintenanceWindow: open ? 'available' : 'unavailable',
  };
}

const ACTIONS: Record<HandlingMode, { download: DdiHandling; update: DdiHandling }> = {
  forced: { download: 'forced', update: 'forced' },
  soft: { download: 'attempt', update: 'attempt' },
  'time-forced': { download: 'attempt', update: 'attempt' },
  'download-only': { download: 'forced', update: 'skip' },
};

/** Orders by weight, the heaviest first (below 0: the first one); without one counts as the heaviest, and before those that say so. */
export function comesFirst(a: number | undefined, b: number | undefined): number {
  return (b ?? MAX_WEIGHT) - (a ?? MAX_WEIGHT) || Number(a !== undefined) - Number(b !== undefined);
}

/** Time until the gateway may go on, where that is not now, milliseconds. */
export function opensInMs(handling: Handling | undefined, now: number): number | undefined {
  if (!handling?.window) return undefined;
  const { open, opensAt } = maintenanceWindowAt(handling.window, now);
  return open ? undefined : opensAt - now;
}

/** From when on the time of a phase counts that begins now: with a window, from its next opening. */
export function phaseStart(handling: Handling | undefined, now: number): number {
  return handling?.window ? maintenanceWindowAt(handling.window, now).opensAt : now;
}

/**
 * Why a success cannot be true: SWUpdate reports one for what it was told to leave out.
 */
export function leftOut(
  handling: Handling | undefined,
  { state, createdAt }: Pick<TaskRecord, 'state' | 'createdAt'>,
  now: number,
): string | undefined {
  if (handling?.mode === 'download-only' && state === 'offered')
    return 'the gateway reports success, but it did not download anything';
  if (handling?.window && !maintenanceWindowWithin(handling.window, createdAt, now))
    return 'the gateway reports success, but its maintenance window was not open yet';
  return undefined;
}

/** What LEONORE's own agent has no part in; undefined when it does what is asked. */
export function refusalOf(
  handling: Handling | undefined,
  { origin }: Pick<GatewayRecord, 'origin'>,
): Explanation | undefined {
  if (origin !== 'enrolled') return undefined;
  if (handling?.mode === 'download-only') return blocked("LEONORE's own agent does not download without installing");
  if (handling?.confirm) return blocked("LEONORE's own agent has nobody to ask for a confirmation");
  return undefined;
}

function blocked(summary: string): Explanation {
  return {
    summary,
    facts: [],
    suggestions: ['leave these gateways out of the selection, or provision them without it'],
  };
}
