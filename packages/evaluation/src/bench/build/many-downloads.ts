/** Many clients that fetch the same file at once, each on a connection of its own, and compare every byte with what it must be. */
import { Agent, get, type OutgoingHttpHeaders } from 'node:http';
import { LeonoreError } from '@leonore/protocol';

export interface Download {
  readonly url: string;
  readonly headers?: OutgoingHttpHeaders;
  readonly expected: Buffer;
}

/** Milliseconds until the last has everything. @throws LeonoreError `archive.mismatch` when one got other bytes */
export async function downloadByMany(download: Download, clients: number, signal: AbortSignal): Promise<number> {
  const agent = new Agent({ maxSockets: Number.POSITIVE_INFINITY });
  try {
    const begun = performance.now();
    await Promise.all(Array.from({ length: clients }, () => downloadOnce(download, agent, signal)));
    return performance.now() - begun;
  } finally {
    agent.destroy();
  }
}

async function downloadOnce(
  { url, headers = {}, expected }: Download,
  agent: Agent,
  signal: AbortSignal,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const wrong = (what: string) => new LeonoreError('archive.mismatch', `${url} answers with ${what}`);
  const request = get(url, { agent, headers, signal }, (response) => {
    if (response.statusCode !== 200) {
      response.destroy(wrong(`status ${response.statusCode}`));
    }
    let at = 0;
    response.on('data', (chunk: Buffer) => {
      if (!expected.subarray(at, at + chunk.length).equals(chunk)) {
        response.destroy(wrong(`other bytes after ${at}`));
      }
      at += chunk.length;
    });
    response.on('error', reject);
    response.on('end', () => (at === expected.length ? resolve() : reject(wrong(`${at} bytes`))));
  });
  request.on('error', reject);
  await promise;
}
