/**
 * Reads a stream of bytes in pieces of known length. It pulls: nothing is read ahead, so whoever is slow slows the source.
 * Leaves to others: what the bytes mean.
 */
import { corrupt } from './archive-fault.ts';

export interface ByteReader extends AsyncDisposable {
  /** Bytes given out so far. */
  readonly position: number;
  /** Exactly `length` bytes, in chunks as they come. @throws LeonoreError `archive.corrupt` about `subject` when there are fewer */
  take(length: number, subject: string): AsyncGenerator<Uint8Array, void, undefined>;
  /** Everything that is left. */
  rest(): AsyncGenerator<Uint8Array, void, undefined>;
  /** As `take`, in one piece: for small lengths. */
  read(length: number, subject: string): Promise<Buffer>;
  atEnd(): Promise<boolean>;
}

export interface ByteReaderOptions {
  /** Its abort ends every wait with its reason. */
  readonly signal?: AbortSignal | undefined;
  /** Called with the length of each chunk that the source gives. */
  readonly onRead?: ((length: number) => void) | undefined;
}

/**
 * Disposing it closes the source. The first chunk is asked for at once: a stream that fails before it is read would
 * otherwise have nobody who listens, and end the process.
 */
export function createByteReader(source: AsyncIterable<Uint8Array>, options: ByteReaderOptions = {}): ByteReader {
  const { signal, onRead } = options;
  const iterator = source[Symbol.asyncIterator]();
  let isWaiting = false;
  let asked: Promise<IteratorResult<Uint8Array, unknown>> | undefined = ask();
  let ended = false;
  let position = 0;
  let current: Uint8Array = new Uint8Array(0);

  function ask(): Promise<IteratorResult<Uint8Array, unknown>> {
    isWaiting = true;
    const answer = iterator.next().finally(() => (isWaiting = false));
    answer.catch(() => undefined);
    return answer;
  }

  /** Makes `current` non-empty; false when there is no more. */
  async function fill(): Promise<boolean> {
    while (current.length === 0 && !ended) {
      signal?.throwIfAborted();
      const answer = asked ?? ask();
      asked = undefined;
      const next = await untilAborted(answer, signal);
      if (next.done) {
        ended = true;
      } else {
        current = next.value;
        onRead?.(current.length);
      }
    }
    return current.length > 0;
  }

  function give(length: number): Uint8Array {
    const piece = current.subarray(0, length);
    current = current.subarray(piece.length);
    position += piece.length;
    return piece;
  }

  async function* take(length: number, subject: string): AsyncGenerator<Uint8Array, void, undefined> {
    let left = length;
    while (left > 0) {
      if (!(await fill())) throw corrupt(subject, `is cut off: ${left} of ${length} bytes are missing`);
      const piece = give(left);
      left -= piece.length;
      yield piece;
    }
  }

  return {
    get position() {
      return position;
    },
    take,
    async *rest() {
      while (await fill()) yield give(current.length);
    },
    async read(length, subject) {
      const pieces: Uint8Array[] = [];
      for await (const piece of take(length, subject)) pieces.push(piece);
      return Buffer.concat(pieces, length);
    },
    atEnd: async () => !(await fill()),
    async [Symbol.asyncDispose]() {
      if (ended) return;
      ended = true;
      const closing = Promise.resolve(iterator.return?.()).catch(() => undefined);
      // A source that hangs would never answer; it is told all the same.
      if (!isWaiting) await closing;
    },
  };
}

async function untilAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise;
  // The source may have brought it about itself, when it was asked.
  signal.throwIfAborted();
  return new Promise<T>((resolve, reject) => {
    const abort = (): void => reject(signal.reason as Error);
    signal.addEventListener('abort', abort, { once: true });
    void promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
