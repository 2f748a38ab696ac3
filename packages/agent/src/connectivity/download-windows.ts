/** Times of day in which packages may be brought, by the local time of the gateway. Pure. */
import { LeonoreError } from '@leonore/protocol';

/** Minutes since midnight; one that ends before it begins goes over midnight. */
export interface DownloadWindow {
  readonly from: number;
  readonly to: number;
}

const DAY_MINUTES = 24 * 60;

/** `22:00-05:00`. @throws LeonoreError `config.invalid` */
export function parseDownloadWindow(text: string): DownloadWindow {
  const [, ...parts] = /^(\d\d?):([0-5]\d)\s*-\s*(\d\d?):([0-5]\d)$/.exec(text.trim()) ?? [];
  const [fromHour = 99, fromMinute = 0, toHour = 99, toMinute = 0] = parts.map(Number);
  const window = { from: fromHour * 60 + fromMinute, to: toHour * 60 + toMinute };
  if (window.from < DAY_MINUTES && window.to <= DAY_MINUTES && window.from !== window.to) return window;
  throw new LeonoreError('config.invalid', `"${text}" is no download window; it reads like 22:00-05:00, local time`);
}

/** Without any window it is always open. */
export function isOpen(windows: readonly DownloadWindow[], at: Date): boolean {
  const minute = at.getHours() * 60 + at.getMinutes();
  return (
    windows.length === 0 ||
    windows.some(({ from, to }) => (from < to ? from <= minute && minute < to : from <= minute || minute < to))
  );
}

/** The next moment, after `at`, in which a window begins. */
export function nextOpening(windows: readonly DownloadWindow[], at: Date): Date {
  const openings = windows.flatMap(({ from }) =>
    [0, 1].map(
      (days) => new Date(at.getFullYear(), at.getMonth(), at.getDate() + days, Math.floor(from / 60), from % 60),
    ),
  );
  return openings.reduce((best, one) => (one > at && (best <= at || one < best) ? one : best), at);
}

/** `22:00`, or with its date when that is another day than `now`'s; local time. */
export function localTime(at: Date, now: Date): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  const day = (date: Date): string => `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  const time = `${two(at.getHours())}:${two(at.getMinutes())}`;
  return day(at) === day(now) ? time : `${day(at)} ${time}`;
}
