/** Looks at the disk now and then, so that a disk that fills by itself is told of before somebody wants to write. */
import type { BlobStore } from '../repositories/mod.ts';

export function createDiskWatch(
  deps: { blobs: Pick<BlobStore, 'usage'>; onError: (error: unknown) => void },
  options: { intervalMs: number },
): Disposable {
  const look = () => void deps.blobs.usage().catch(deps.onError);
  look();
  const timer = setInterval(look, options.intervalMs);
  timer.unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
