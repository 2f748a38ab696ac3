/** How many bytes came over the air, in words for people. */

/** `8 KB instead of 4.3 MB over the air`; `full`: what a gateway that has nothing of it would have loaded. */
export function airText(bytes: number, full: number): string {
  return bytes < full ? `${size(bytes)} instead of ${size(full)} over the air` : `${size(bytes)} over the air`;
}

const UNITS = ['KB', 'MB', 'GB', 'TB'] as const;

/** Decimal units, two digits where the first is small. */
function size(bytes: number): string {
  if (bytes < 1000) return bytes === 0 ? 'nothing' : `${bytes} bytes`;
  let value = bytes / 1000;
  let unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value < 9.95 ? Number(value.toFixed(1)) : Math.round(value)} ${UNITS[unit]}`;
}
