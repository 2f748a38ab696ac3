/**
 * Brings bytes here, however often the connection breaks: goes on where they end (Range, If-Range), starts clean when the
 * server's content is another one, waits with back-off between attempts. Which bytes are wanted and where they go is the
 * sink's business (files, or a digest in the simulator); whether they are the right ones is checked by their digests.
 */
import { LeonoreError } from '@leonore/protocol';
import type { Channel, DownloadAnswer } from './channel.ts';
import { isPassing, retryAfterMs } from './http/answers.ts';
import { destroyBody } from './body.ts';
import type { AgentTask } from './parse-task.ts';
import { createBackoff, MAX_BACKOFF_MS, sleep } from './wait.ts';

/** Where bytes come from. */
export type Downloads = Required<Pick<Channel, 'download'>>;

export interface PackageSink {
  /**
   * What is wanted next: bytes from `offset` on, up to `end` (exclusive; absent: to the last), of the content that `etag`
   * names. Nothing, when `offset` is the content's size.
   */
  position(): { readonly offset: number; readonly end?: number | undefined; readonly etag: string | undefined };
  /** What comes next is the beginning of content named `etag`, whatever was wanted. */
  restart(etag: string | undefined): Promise<void>;
  /** `at`: where in the content the chunk begins. */
  append(chunk: Uint8Array, at: number): Promise<void>;
}

/** What is brought: a package, or anything else with an address and a known length in bytes. */
export type Download = Pick<AgentTask, 'url' | 'size'>;

export interface DownloadPackageOptions {
  readonly signal?: AbortSignal | undefined;
  readonly initialMs?: number;
  readonly maxMs?: number;
  readonly random?: () => number;
  /** Attempts in a row that bring no byte, for faults that will hardly pass by themselves (404, 403, wrong length). */
  readonly hopelessAttempts?: number;
  /** There is another way to the same: whatever a server that can be reached does wrong is then soon too much. */
  readonly dispensable?: boolean;
  readonly onRetry?: (error: unknown, delayMs: number) => void;
}

/** What is left of an answer that need not be read is read all the same when it is this short: the connection is kept. */
const SHORT_REST_BYTES = 65_536;

/** @throws LeonoreError when the server refuses for good; the signal's reason when aborted; whatever the sink throws. */
export async function downloadPackage(
  connectivity: Downloads,
  task: Download,
  sink: PackageSink,
  options: DownloadPackageOptions = {},
): Promise<void> {
  const { signal, hopelessAttempts = 3 } = options;
  const backoff = createBackoff({
    initialMs: options.initialMs ?? 500,
    maxMs: options.maxMs ?? MAX_BACKOFF_MS,
    ...(options.random ? { random: options.random } : {}),
  });
  let hopeless = 0;
  while (sink.position().offset !== task.size) {
    signal?.throwIfAborted();
    const answered = { bytes: 0, is: false };
    try {
      await attempt(connectivity, task, sink, answered, signal);
      hopeless = 0;
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof SinkError) throw error.cause;
      if (answered.bytes > 0) {
        backoff.reset();
        hopeless = 0;
      }
      const isHopeless = !isPassing(error) || (options.dispensable === true && (answered.is || hasStatus(error)));
      if (isHopeless && ++hopeless >= hopelessAttempts) throw error;
      const delayMs = backoff.next(retryAfterMs(error));
      options.onRetry?.(error, delayMs);
      await sleep(delayMs, signal);
    }
  }
}

async function attempt(
  connectivity: Downloads,
  task: Download,
  sink: PackageSink,
  answered: { bytes: number; is: boolean },
  signal: AbortSignal | undefined,
): Promise<void> {
  const { offset, end, etag } = sink.position();
  if (offset > task.size) await sink.restart(undefined);
  const answer = await connectivity
    .download(task.url, offset > task.size ? { signal } : { offset, end, etag, signal })
    .catch(async (error: unknown) => {
      // What is here is no beginning of what the server has, if it refuses the range itself.
      if (error instanceof LeonoreError && error.details['httpStatus'] === 416) await intoSink(sink.restart(undefined));
      throw error;
    });
  answered.is = true;
  if (answer.total !== undefined && answer.total !== task.size) {
    destroyBody(answer.body);
    await intoSink(sink.restart(undefined));
    throw new LeonoreError('agent.download', `the package has ${answer.total} bytes instead of ${task.size}`);
  }
  const other = answer.offset > 0 && etag !== undefined && answer.etag !== undefined && answer.etag !== etag;
  if (other) {
    destroyBody(answer.body);
    await intoSink(sink.restart(undefined));
    throw new LeonoreError('agent.download', 'the server went on with the bytes of another package');
  }
  if (answer.offset === 0) await intoSink(sink.restart(answer.etag));
  await copy(answer, task, sink, answered);
}

/** From the answer to the sink: all of it, or as long as the sink wants any of what is left. */
async function copy(
  answer: DownloadAnswer,
  task: Download,
  sink: PackageSink,
  answered: { bytes: number },
): Promise<void> {
  const { body, end = task.size } = answer;
  let at = answer.offset;
  try {
    for await (const chunk of body) {
      if (at + chunk.length > end) {
        await intoSink(sink.restart(undefined));
        throw new LeonoreError(
          'agent.download',
          `the server sent more than the ${end - answer.offset} bytes it should`,
        );
      }
      await intoSink(sink.append(chunk, at));
      at += chunk.length;
      answered.bytes += chunk.length;
      if (end - at > SHORT_REST_BYTES && !wants(sink, at, end)) {
        destroyBody(body);
        return;
      }
    }
  } catch (error) {
    destroyBody(body);
    if (error instanceof LeonoreError || error instanceof SinkError) throw error;
    throw new LeonoreError('server.unreachable', 'the connection broke during the download', { cause: error });
  }
  if (at < end) throw new LeonoreError('server.unreachable', `the download ended after ${at} of ${end} bytes`);
}

/** True when bytes of the stream that goes on at `at` are wanted. */
function wants(sink: PackageSink, at: number, end: number): boolean {
  const { offset } = sink.position();
  return offset >= at && offset < end;
}

function hasStatus(error: unknown): boolean {
  return error instanceof LeonoreError && typeof error.details['httpStatus'] === 'number';
}

/** Carries a fault of the sink (a full disk, say) past the retries, which are for the network. */
class SinkError extends Error {}

async function intoSink(work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    throw new SinkError('the sink failed', { cause: error });
  }
}
