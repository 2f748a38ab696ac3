/** Waiting for conditions instead of times. */

/** Asks `condition` until it gives something; fails with `what` and the last answer when it never does. */
export async function waitFor<T>(
  what: string,
  condition: () => Promise<T | undefined | false> | T | undefined | false,
  options: { timeoutMs?: number; intervalMs?: number; describe?: () => string | Promise<string> } = {},
): Promise<T> {
  const { timeoutMs = 30_000, intervalMs = 25 } = options;
  const end = Date.now() + timeoutMs;
  for (;;) {
    const found = await condition();
    if (found !== undefined && found !== false) return found;
    if (Date.now() > end) {
      const seen = await options.describe?.();
      throw new Error(`waited ${timeoutMs} ms for ${what}${seen === undefined ? '' : `; last seen: ${seen}`}`);
    }
    await new Promise((resolve) => setTimeout(resolve, intervalMs));
  }
}
