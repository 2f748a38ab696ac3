/** Amounts as people read them: bytes, durations, points in time; and durations as people write them. */
export { formatBytes, parseDuration } from '@leonore/protocol';

/** `0.4 s`, `12 s`, `3 min 05 s`, `2 h 10 min`, `4 d 3 h`. */
export function formatDuration(ms: number): string {
  const seconds = Math.max(0, ms) / 1000;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 1440) return `${Math.floor(minutes / 60)} h ${two(minutes % 60)} min`;
  const hours = Math.round(seconds / 3600);
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

const two = (value: number) => String(value).padStart(2, '0');

/** `just now`, `4 min ago`, `in 3 h`; `never` without a time. Both in milliseconds since 1970. */
export function formatAge(at: number | undefined, now: number): string {
  if (at === undefined) return 'never';
  const past = now - at;
  const seconds = Math.abs(past) / 1000;
  if (seconds < 2) return 'just now';
  const amount =
    seconds < 60
      ? `${Math.round(seconds)} s`
      : seconds < 3600
        ? `${Math.round(seconds / 60)} min`
        : seconds < 2 * 86_400
          ? `${Math.round(seconds / 3600)} h`
          : `${Math.round(seconds / 86_400)} d`;
  return past >= 0 ? `${amount} ago` : `in ${amount}`;
}

/** Local time without the zone: `2026-11-22 18:04:05`. */
export function formatTime(at: number): string {
  const date = new Date(at);
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}
