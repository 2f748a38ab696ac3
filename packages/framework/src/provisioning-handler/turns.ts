/** Work under the same key goes one after the other, in the order it came; work under other keys beside it. */
export interface Turns {
  /** Fulfilled or rejected with its own work; what fails before it does not stop it. */
  take(key: string, work: () => Promise<void>): Promise<void>;
  /** Fulfilled when everything that was taken under the key up to now has ended, well or not. */
  settled(key: string): Promise<void>;
}

export function createTurns(): Turns {
  const last = new Map<string, Promise<void>>();
  const settled = (key: string) => last.get(key) ?? Promise.resolve();

  return {
    take(key, work) {
      const mine = settled(key).then(work);
      const ended = mine.then(
        () => undefined,
        () => undefined,
      );
      last.set(key, ended);
      void ended.then(() => {
        if (last.get(key) === ended) last.delete(key);
      });
      return mine;
    },
    settled,
  };
}
