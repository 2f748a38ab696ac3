/** Walks the pages of a list by their cursors, one request ahead of nobody: the next page is fetched when it is wanted. */
import type { Page } from '@leonore/protocol';

export async function* iteratePages<T>(
  fetchPage: (cursor: string | undefined) => Promise<Page<T>>,
): AsyncGenerator<T, void, undefined> {
  let cursor: string | undefined;
  do {
    const page = await fetchPage(cursor);
    yield* page.items;
    // A server that answers with the same cursor again would keep us here for ever.
    if (page.next !== undefined && page.next === cursor) return;
    cursor = page.next;
  } while (cursor !== undefined);
}

/** The first `limit` items (all without one) as an array. */
export async function collect<T>(items: AsyncIterable<T>, limit = Number.POSITIVE_INFINITY): Promise<T[]> {
  const collected: T[] = [];
  if (limit <= 0) return collected;
  for await (const item of items) {
    collected.push(item);
    if (collected.length >= limit) break;
  }
  return collected;
}
