/**
 * When a gateway may be worked on: a schedule in cron's five fields, a length, an offset from UTC. Pure; no table of time
 * zones is needed, so summer time is not followed.
 */
import { z } from 'zod';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
/** The 29th of February on a given day of the week may be 40 years away; a schedule that names no day in them names none. */
const DAYS_LOOKED_AT = 40 * 366;
const MAX_DURATION_SECONDS = 7 * 86_400;

const FIELDS = [
  { name: 'minute', from: 0, to: 59 },
  { name: 'hour', from: 0, to: 23 },
  { name: 'day of the month', from: 1, to: 31 },
  { name: 'month', from: 1, to: 12 },
  { name: 'day of the week', from: 0, to: 7 },
] as const;

/** Numbers of each field, ascending. */
interface Schedule {
  readonly minutes: readonly number[];
  readonly hours: readonly number[];
  /** Cron's rule: where both kinds of day are narrowed, either is enough. */
  readonly isDay: (date: Date) => boolean;
}

export const maintenanceWindowSchema = z
  .strictObject({
    /** When it opens: minute, hour, day of the month, month, day of the week (0 and 7: Sunday), such as `0 2 * * 6`. */
    schedule: z
      .string()
      .max(200)
      .refine((text) => parseSchedule(text) !== undefined, {
        message: 'a schedule has five fields: minute hour day month weekday, such as "0 2 * * 6"',
      })
      .refine((text) => parseSchedule(text) === undefined || nextStart(text, 0, 0) !== undefined, {
        message: 'this schedule names a day that never comes',
      }),
    /** Seconds that it stays open. */
    durationSeconds: z.int().min(60).max(MAX_DURATION_SECONDS),
    /** What the schedule's times are ahead of UTC. */
    timezone: z
      .string()
      .regex(/^[+-](?:0\d|1[0-4]):[0-5]\d$/, 'a time zone is an offset such as +01:00')
      .default('+00:00'),
  })
  .meta({ id: 'MaintenanceWindow' });
export type MaintenanceWindow = z.infer<typeof maintenanceWindowSchema>;

/** `opensAt`: its next opening after `at`. Milliseconds since 1970. */
export function maintenanceWindowAt(
  { schedule, durationSeconds, timezone }: MaintenanceWindow,
  at: number,
): { open: boolean; opensAt: number } {
  const offset = offsetOf(timezone);
  const last = nextStart(schedule, at - durationSeconds * 1000, offset);
  return { open: last !== undefined && last <= at, opensAt: nextStart(schedule, at, offset) ?? Infinity };
}

/** True when it was open at some time from `from` to `to`. */
export function maintenanceWindowWithin(window: MaintenanceWindow, from: number, to: number): boolean {
  const first = maintenanceWindowAt(window, from);
  return first.open || first.opensAt <= to;
}

/** The first start after `after`. */
function nextStart(text: string, after: number, offsetMs: number): number | undefined {
  const schedule = parseSchedule(text);
  if (!schedule) return undefined;
  const local = after + offsetMs;
  const firstDay = Math.floor(local / DAY_MS) * DAY_MS;
  for (let day = 0; day < DAYS_LOOKED_AT; day++) {
    const midnight = firstDay + day * DAY_MS;
    if (!schedule.isDay(new Date(midnight))) continue;
    for (const hour of schedule.hours) {
      for (const minute of schedule.minutes) {
        const start = midnight + hour * HOUR_MS + minute * MINUTE_MS;
        if (start > local) return start - offsetMs;
      }
    }
  }
  return undefined;
}

function parseSchedule(text: string): Schedule | undefined {
  const words = text.trim().split(/\s+/);
  if (words.length !== FIELDS.length) return undefined;
  const fields = words.map((word, index) => parseField(word, FIELDS[index]!));
  const [minutes, hours, days, months, weekdays] = fields;
  if (!minutes || !hours || !days || !months || !weekdays) return undefined;
  const either = words[2] !== '*' && words[4] !== '*';
  return {
    minutes,
    hours,
    isDay(date) {
      if (!months.includes(date.getUTCMonth() + 1)) return false;
      const byDay = days.includes(date.getUTCDate());
      const byWeekday = weekdays.some((weekday) => weekday % 7 === date.getUTCDay());
      return either ? byDay || byWeekday : byDay && byWeekday;
    },
  };
}

/** `*`, `5`, `1-5`, `*` or a range with a step such as `0-20/5`, and lists of these. */
function parseField(text: string, { from, to }: { from: number; to: number }): readonly number[] | undefined {
  const numbers = new Set<number>();
  for (const part of text.split(',')) {
    const match = /^(?:\*|(\d{1,2})(?:-(\d{1,2}))?)(?:\/(\d{1,2}))?$/.exec(part);
    if (!match) return undefined;
    const [, low, high, step] = match;
    const first = low === undefined ? from : Number(low);
    const last = high === undefined ? (low === undefined || step !== undefined ? to : first) : Number(high);
    const by = step === undefined ? 1 : Number(step);
    if (first < from || last > to || first > last || by === 0) return undefined;
    for (let number = first; number <= last; number += by) numbers.add(number);
  }
  return [...numbers].toSorted((a, b) => a - b);
}

function offsetOf(timezone: string): number {
  const [hours = 0, minutes = 0] = timezone.slice(1).split(':').map(Number);
  return (timezone.startsWith('-') ? -1 : 1) * (hours * HOUR_MS + minutes * MINUTE_MS);
}
