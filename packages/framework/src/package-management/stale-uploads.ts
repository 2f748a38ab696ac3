/** Uploads that nobody goes on with are taken away, so that broken ones do not fill the disk. */
import type { BlobStore } from '../repositories/mod.ts';

export function createStaleUploadWatch(
  deps: { blobs: Pick<BlobStore, 'dropStaleUploads'>; now: () => number; onError: (error: unknown) => void },
  options: { maxAgeMs: number; intervalMs: number },
): AsyncDisposable {
  let running: Promise<void> = Promise.resolve();

  async function drop(): Promise<void> {
    await deps.blobs.dropStaleUploads(deps.now() - options.maxAgeMs);
  }

  const timer = setInterval(() => {
    running = running.then(drop).catch(deps.onError);
  }, options.intervalMs);
  timer.unref();

  return {
    async [Symbol.asyncDispose]() {
      clearInterval(timer);
      await running;
    },
  };
}
