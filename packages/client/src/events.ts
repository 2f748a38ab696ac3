/**
 * The live events of a node as one endless iterator: connects, reads, and connects again from the last id it saw.
 * Ends when its signal is aborted; throws only what will not get better by waiting (wrong token, no such address).
 */
import { eventSchema, isLeonoreError, type LeonoreEvent } from '@leonore/protocol';
import { type CallOptions, type Http, networkError } from './http.ts';
import { pause } from './pause.ts';
import { createSseParser, parseSse } from './sse.ts';

export interface EventOptions extends CallOptions {
  /** Where to go on; without it only what happens from now on. */
  readonly lastEventId?: string | undefined;
  /** Told when the stream is up, and when it was lost and why. */
  readonly onConnection?: (connection: { up: true } | { up: false; error: Error }) => void;
  /** A stream without a sign of life for this long is taken for dead. The server sends one every 15 s. */
  readonly idleTimeoutMs?: number;
  /** First wait before connecting again; doubles up to 10 s. */
  readonly reconnectMs?: number;
}

export async function* readEvents(http: Http, options: EventOptions = {}): AsyncGenerator<LeonoreEvent, void> {
  const { signal, reconnectMs = 500, idleTimeoutMs = 45_000 } = options;
  let lastEventId = options.lastEventId;
  let failures = 0;
  let connectedBefore = false;
  for (;;) {
    if (signal?.aborted) return;
    const parser = createSseParser();
    try {
      using watch = watchdog(idleTimeoutMs, signal);
      const response = await http.send({
        path: '/api/v1/events',
        headers: { accept: 'text/event-stream', ...(lastEventId ? { 'last-event-id': lastEventId } : {}) },
        signal: watch.signal,
      });
      options.onConnection?.({ up: true });
      // Without an id to go on from, what happened in between is unknown.
      if (connectedBefore && !lastEventId) yield { type: 'reset' };
      connectedBefore = true;
      for await (const message of parseSse(watch.alive(response.body), parser)) {
        failures = 0;
        if (message.id !== '') lastEventId = message.id;
        const event = parseEvent(message.data);
        if (event) yield event;
      }
      throw new Error('the server closed the stream');
    } catch (error) {
      if (signal?.aborted) return;
      const lost = networkError(error, http.baseUrl, signal);
      if (isLeonoreError(lost) && !lost.retryable) throw lost;
      options.onConnection?.({ up: false, error: lost instanceof Error ? lost : new Error(String(lost)) });
    }
    const wait = Math.min(10_000, (parser.retryMs ?? reconnectMs) * 2 ** Math.min(failures++, 10));
    await pause(wait, signal);
  }
}

/** Kinds of events that a newer node may send are passed over. */
function parseEvent(data: string): LeonoreEvent | undefined {
  try {
    return eventSchema.safeParse(JSON.parse(data)).data;
  } catch {
    return undefined;
  }
}

/** Aborts when nothing has come for a while; a suspended laptop or a silent proxy would else hold us for ever. */
function watchdog(idleMs: number, outer: AbortSignal | undefined) {
  const silent = new AbortController();
  const tooQuiet = () => silent.abort(new Error(`nothing came for ${Math.round(idleMs / 1000)} s`));
  let timer = setTimeout(tooQuiet, idleMs);
  return {
    signal: outer ? AbortSignal.any([outer, silent.signal]) : silent.signal,
    async *alive(body: AsyncIterable<Uint8Array> | null): AsyncGenerator<Uint8Array, void> {
      for await (const chunk of body ?? []) {
        clearTimeout(timer);
        yield chunk;
        timer = setTimeout(tooQuiet, idleMs);
      }
    },
    [Symbol.dispose]() {
      clearTimeout(timer);
    },
  };
}
