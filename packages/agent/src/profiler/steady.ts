/**
 * What of a profile is news. Pure.
 *
 * A profile has facts, and figures that move all the time. A change of a fact is told at once. A figure is told when it
 * has moved by a step from what was told, and only when it is time for figures or a fact is told anyway. So an idle
 * gateway says nothing, and what the server shows is never further off than a step (and one interval of figures).
 * `uptime` goes along with whatever is told; only that it fell, as the machine was started anew, is a fact.
 */
import { isDeepStrictEqual } from 'node:util';
import type { GatewayProfile } from '@leonore/protocol';

interface Figure {
  of(profile: GatewayProfile): number | undefined;
  /** `profile` with another value. */
  put(profile: GatewayProfile, value: number | undefined): GatewayProfile;
  step(told: number, profile: GatewayProfile): number;
}

const MIB = 2 ** 20;

const FIGURES: readonly Figure[] = [
  {
    of: ({ memory }) => memory?.free,
    put: (profile, free) =>
      profile.memory ? { ...profile, memory: { ...without(profile.memory, 'free'), ...given({ free }) } } : profile,
    step: (_, { memory }) => (memory?.total ?? 0) / 10,
  },
  {
    of: ({ disk }) => disk?.free,
    // The schema wants it wherever there is a disk.
    put: (profile, free) =>
      profile.disk && free !== undefined ? { ...profile, disk: { ...profile.disk, free } } : profile,
    step: (told) => Math.max(told / 10, 16 * MIB),
  },
  {
    of: ({ load }) => load,
    put: (profile, load) => ({ ...without(profile, 'load'), ...given({ load }) }),
    step: (told, { cpu }) => Math.max(told / 10, (cpu?.cores ?? 1) / 4),
  },
  {
    of: ({ temperature }) => temperature,
    put: (profile, temperature) => ({ ...without(profile, 'temperature'), ...given({ temperature }) }),
    step: () => 5,
  },
  {
    of: ({ clock }) => clock?.offset,
    put: (profile, offset) => {
      const clock = { ...without(profile.clock ?? {}, 'offset'), ...given({ offset }) };
      return { ...without(profile, 'clock'), ...(Object.keys(clock).length === 0 ? {} : { clock }) };
    },
    step: (told) => Math.max(Math.abs(told) / 10, 10),
  },
];

/** The profile to tell; undefined when there is no news. */
export function newsOf(told: GatewayProfile, all: GatewayProfile, timeForFigures: boolean): GatewayProfile | undefined {
  // A clock of which nothing is known is none.
  const found = Object.keys(all.clock ?? {}).length === 0 ? without(all, 'clock') : all;
  const still = FIGURES.reduce((profile, figure) => figure.put(profile, figure.of(told)), sameUptime(told, found));
  const isNews = differ(told, still);
  if (!isNews && !timeForFigures) return undefined;
  const stepped = FIGURES.reduce(
    (profile, figure) => (hasMoved(figure, told, found) ? profile : figure.put(profile, figure.of(told))),
    sameUptime(told, found),
  );
  if (!isNews && !differ(told, stepped)) return undefined;
  return { ...stepped, ...given({ uptime: found.uptime }) };
}

function sameUptime(told: GatewayProfile, found: GatewayProfile): GatewayProfile {
  const startedAnew = (found.uptime ?? 0) < (told.uptime ?? 0);
  return startedAnew ? found : { ...without(found, 'uptime'), ...given({ uptime: told.uptime }) };
}

function hasMoved(figure: Figure, told: GatewayProfile, found: GatewayProfile): boolean {
  const [before, now] = [figure.of(told), figure.of(found)];
  if (before === undefined || now === undefined) return before !== now;
  return Math.abs(now - before) >= figure.step(before, found) && now !== before;
}

function differ(told: GatewayProfile, found: GatewayProfile): boolean {
  // Which state it is, and when it was told, is not part of what is told.
  const { revision: _, reportedAt: __, ...before } = told;
  const { revision: ___, reportedAt: ____, ...now } = found;
  return Object.keys(diffPatch(before, now) as object).length > 0;
}

/** RFC 7396: what turns `before` into `after`. Lists are replaced whole. */
export function diffPatch(before: unknown, after: unknown): unknown {
  if (!isRecord(before) || !isRecord(after)) return after;
  const patch: Record<string, unknown> = {};
  for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) {
    const [was, is] = [own(before, key), own(after, key)];
    if (is === undefined) {
      if (was !== undefined) patch[key] = null;
    } else if (!isDeepStrictEqual(was, is)) patch[key] = diffPatch(was, is);
  }
  return patch;
}

function own(record: Record<string, unknown>, key: string): unknown {
  return Object.hasOwn(record, key) ? record[key] : undefined;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function without<T extends object, K extends keyof T>(record: T, key: K): Omit<T, K> {
  const { [key]: _, ...rest } = record;
  return rest;
}

function given<T extends Record<string, unknown>>(record: T): Partial<{ [K in keyof T]: NonNullable<T[K]> }> {
  return Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined)) as never;
}
