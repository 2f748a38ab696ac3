/** One timer for the polls of a whole fleet: each member is due once in an interval, at a moment of its own. */

export interface PollWheelOptions {
  readonly members: number;
  readonly intervalMs: number;
  /** 0 <= x < 1; decides each member's moment. */
  readonly random: () => number;
  readonly onDue: (member: number) => void;
}

/** Below this a timer says nothing any more. */
const SHORTEST_TICK_MS = 10;
const MOST_SLOTS = 1000;

export function createPollWheel(options: PollWheelOptions): Disposable {
  const { members, intervalMs, random, onDue } = options;
  const count = Math.max(1, Math.min(MOST_SLOTS, Math.floor(intervalMs / SHORTEST_TICK_MS)));
  const slots: number[][] = Array.from({ length: count }, () => []);
  for (let member = 0; member < members; member++) slots[Math.floor(random() * count)]?.push(member);
  const startedAt = performance.now();
  const tickMs = intervalMs / count;
  let done = 0;
  const timer = setInterval(() => {
    // By the clock, not by the count of ticks: a timer that comes late catches up, but skips whole rounds that it missed.
    const due = Math.floor((performance.now() - startedAt) / tickMs);
    done = Math.max(done, due - count);
    for (; done < due; done++) for (const member of slots[done % count] ?? []) onDue(member);
  }, tickMs);
  return {
    [Symbol.dispose]: () => clearInterval(timer),
  };
}
