/**
 * Brings a package here, however often the connection breaks: goes on where the bytes end (Range, If-Range), starts
 * clean when the server's content is another one, waits with back-off between attempts. Where the bytes go is the
 * sink's business (a file, or a digest in the simulator); whether they are the right ones is checked afterwards by
 * their digests.
 */
import { LeonoreError } from '@leonore/protocol';
import { isPassing, retryAfterMs } from './http-client.ts';
import type { HttpConnectivity } from './http-connectivity.ts';
import type { AgentTask } from './parse-task.ts';
import { createBackoff, sleep } from './wait.ts';

export interface PackageSink {
  /** Bytes already here, and the ETag of what they are the beginning of. */
  position(): { readonly offset: number; readonly etag: string | undefined };
  /** Forget everything; what comes next is the beginning of content named `etag`. */
  restart(etag: string | undefined): Promise<void>;
  append(chunk: Uint8Array): Promise<void>;
}

export interface DownloadPackageOptions {
  readonly signal?: AbortSignal | undefined;
  readonly initialMs?: number;
  readonly maxMs?: number;
  readonly random?: () => number;
  /** Attempts in a row that bring no byte, for faults that will hardly pass by themselves (404, 403, wrong length). */
  readonly hopelessAttempts?: number;
  readonly onRetry?: (error: unknown, delayMs: number) => void;
}

/** @throws LeonoreError when the server refuses for good; the signal's reason when aborted; whatever the sink throws. */
export async function downloadPackage(
  connectivity: Pick<HttpConnectivity, 'download'>,
  task: Pick<AgentTask, 'url' | 'size'>,
  sink: PackageSink,
  options: DownloadPackageOptions = {},
): Promise<void> {
  const { signal, hopelessAttempts = 3 } = options;
  const backoff = createBackoff({
    initialMs: options.initialMs ?? 500,
    maxMs: options.maxMs ?? 60_000,
    ...(options.random ? { random: options.random } : {}),
  });
  let hopeless = 0;
  while (sink.position().offset !== task.size) {
    signal?.throwIfAborted();
    const before = sink.position().offset;
    try {
      await attempt(connectivity, task, sink, signal);
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof SinkError) throw error.cause;
      if (sink.position().offset > before) {
        backoff.reset();
        hopeless = 0;
      }
      if (!isPassing(error) && ++hopeless >= hopelessAttempts) throw error;
      const delayMs = backoff.next(retryAfterMs(error));
      options.onRetry?.(error, delayMs);
      await sleep(delayMs, signal);
    }
  }
}

async function attempt(
  connectivity: Pick<HttpConnectivity, 'download'>,
  task: Pick<AgentTask, 'url' | 'size'>,
  sink: PackageSink,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { offset, etag } = sink.position();
  if (offset > task.size) await sink.restart(undefined);
  const answer = await connectivity
    .download(task.url, offset > task.size ? { signal } : { offset, etag, signal })
    .catch(async (error: unknown) => {
      // What is here is no beginning of what the server has, if it refuses the range itself.
      if (error instanceof LeonoreError && error.details['httpStatus'] === 416) await intoSink(sink.restart(undefined));
      throw error;
    });
  if (answer.total !== undefined && answer.total !== task.size) {
    destroy(answer.body);
    await intoSink(sink.restart(undefined));
    throw new LeonoreError('agent.download', `the package has ${answer.total} bytes instead of ${task.size}`);
  }
  const other = answer.offset > 0 && etag !== undefined && answer.etag !== undefined && answer.etag !== etag;
  if (other) {
    destroy(answer.body);
    await intoSink(sink.restart(undefined));
    throw new LeonoreError('agent.download', 'the server went on with the bytes of another package');
  }
  if (answer.offset === 0) await intoSink(sink.restart(answer.etag));
  await copy(answer.body, task, sink);
}

async function copy(body: AsyncIterable<Uint8Array>, task: Pick<AgentTask, 'size'>, sink: PackageSink): Promise<void> {
  try {
    for await (const chunk of body) {
      if (sink.position().offset + chunk.length > task.size) {
        await intoSink(sink.restart(undefined));
        throw new LeonoreError('agent.download', `the server sent more than the package's ${task.size} bytes`);
      }
      await intoSink(sink.append(chunk));
    }
  } catch (error) {
    destroy(body);
    if (error instanceof LeonoreError || error instanceof SinkError) throw error;
    throw new LeonoreError('server.unreachable', 'the connection broke during the download', { cause: error });
  }
  const { offset } = sink.position();
  if (offset < task.size) {
    throw new LeonoreError('server.unreachable', `the download ended after ${offset} of ${task.size} bytes`);
  }
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

function destroy(body: unknown): void {
  if (body && typeof body === 'object' && 'destroy' in body && typeof body.destroy === 'function') body.destroy();
}
