/** Runs `work` for 0..count-1, `limit` at a time; after a failure no more is begun, and it is thrown when what runs has ended. */
export async function inParallel(count: number, limit: number, work: (index: number) => Promise<void>): Promise<void> {
  const state = { next: 0, failed: false };
  const lane = async (): Promise<void> => {
    while (state.next < count && !state.failed) {
      try {
        await work(state.next++);
      } catch (error) {
        state.failed = true;
        throw error;
      }
    }
  };
  const results = await Promise.allSettled(Array.from({ length: Math.min(limit, count) }, lane));
  const failure = results.find((result) => result.status === 'rejected');
  if (failure) throw failure.reason;
}
