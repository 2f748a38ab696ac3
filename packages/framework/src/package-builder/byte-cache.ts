/** Hot segments in memory, bounded in bytes, the least recently used leave first. Concurrent readers of one share its reading. */
import type { Sha256 } from '@leonore/protocol';

export interface ByteCache {
  /** The bytes from memory, else from `load`, which runs once for all who ask meanwhile. */
  get(key: Sha256, load: () => Promise<Uint8Array>): Promise<Uint8Array>;
  /** Whether something of this size would be kept at all. */
  takes(size: number): boolean;
  readonly usedBytes: number;
}

export function createByteCache(options: { maxBytes: number; maxItemBytes: number }): ByteCache {
  const items = new Map<Sha256, Uint8Array>();
  const loading = new Map<Sha256, Promise<Uint8Array>>();
  let used = 0;

  function keep(key: Sha256, bytes: Uint8Array): void {
    if (bytes.length > options.maxItemBytes || items.has(key)) return;
    items.set(key, bytes);
    used += bytes.length;
    for (const [oldest, old] of items) {
      if (used <= options.maxBytes) break;
      items.delete(oldest);
      used -= old.length;
    }
  }

  return {
    async get(key, load) {
      const hit = items.get(key);
      if (hit) {
        // A Map keeps insertion order: taken out and put back, it is the youngest.
        items.delete(key);
        items.set(key, hit);
        return hit;
      }
      const running = loading.get(key);
      if (running) return running;
      const started = load();
      loading.set(key, started);
      try {
        const bytes = await started;
        keep(key, bytes);
        return bytes;
      } finally {
        loading.delete(key);
      }
    },
    takes: (size) => size <= options.maxItemBytes && size <= options.maxBytes,
    get usedBytes() {
      return used;
    },
  };
}
