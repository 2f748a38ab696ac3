/** How far this machine's clock is from the server's, by the `Date` of answers that come anyway. */
import type { HttpClient } from '../connectivity/mod.ts';

export interface ServerClock {
  /** The same client; answers of the server are looked at on their way. */
  heed(client: HttpClient): HttpClient;
  /** Seconds that this clock is ahead; 0 when that may be the way and the rounding; undefined before the first answer. */
  readonly offset: number | undefined;
  /** What the server's clock says now, milliseconds since 1970, wherever this one jumps; undefined before the first answer. */
  readonly time: number | undefined;
}

/** The date is given in whole seconds, and was written when the answer left. */
const UNSURE_SECONDS = 5;

export interface ServerClockOptions {
  readonly server: string;
  readonly now?: () => number;
  /** Milliseconds of a clock that never jumps. */
  readonly elapsed?: () => number;
}

export function createServerClock(options: ServerClockOptions): ServerClock {
  const { server, now = Date.now, elapsed = () => performance.now() } = options;
  const origin = URL.parse(server)?.origin;
  let offset: number | undefined;
  let heard: { readonly date: number; readonly at: number } | undefined;
  return {
    heed: (client) => ({
      async send(request) {
        const answer = await client.send(request);
        // A cache on the way gives answers of another hour, and says so.
        if (request.url.origin !== origin || answer.headers.age !== undefined) return answer;
        const date = Date.parse(answer.headers.date ?? '');
        if (Number.isNaN(date)) return answer;
        heard = { date, at: elapsed() };
        const seconds = Math.round((now() - date) / 1000);
        offset = Math.abs(seconds) < UNSURE_SECONDS ? 0 : seconds;
        return answer;
      },
      [Symbol.dispose]: () => client[Symbol.dispose](),
    }),
    get offset() {
      return offset;
    },
    get time() {
      return heard && heard.date + elapsed() - heard.at;
    },
  };
}
