/**
 * Hot segments in memory, bounded in bytes, the least recently used leave first. Concurrent readers of one share its
 * reading. What is asked for once is cold: it would only push out what is asked for again and again.
 */
import type { Sha256 } from '@leonore/protocol';

export interface ByteCache {
  /** The bytes from memory, else from `load`, which runs once for all who ask meanwhile. */
  get(key: Sha256, load: () => Promise<Uint8Array>): Promise<Uint8Array>;
  /** Whether to read it through the cache: it is small enough, and it was asked about lately. */
  takes(key: Sha256, size: number): boolean;
  has(key: Sha256): boolean;
  readonly usedBytes: number;
}

const REMEMBERED_KEYS = 10_000;

export function createByteCache(options: { maxBytes: number; maxItemBytes: number }): ByteCache {
  const items = new Map<Sha256, Uint8Array>();
  const loading = new Map<Sha256, Promise<Uint8Array>>();
  const askedAbout = new Set<Sha256>();
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
    takes(key, size) {
      if (size > options.maxItemBytes || size > options.maxBytes) return false;
      if (items.has(key) || loading.has(key)) return true;
      // Forgotten by the second time, or with the many that came after it.
      if (askedAbout.delete(key)) return true;
      askedAbout.add(key);
      for (const oldest of askedAbout) {
        if (askedAbout.size <= REMEMBERED_KEYS) break;
        askedAbout.delete(oldest);
      }
      return false;
    },
    has: (key) => items.has(key),
    get usedBytes() {
      return used;
    },
  };
}
