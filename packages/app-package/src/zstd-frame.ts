/**
 * Finds where a zstd frame ends (RFC 8878, section 3.1.1) by walking its block headers, without decoding it. A zstd
 * decoder does not tell, and Node's takes a second frame or drops it as the chunks happen to fall.
 */
import { corrupt } from './archive-fault.ts';

export const ZSTD_MAGIC = Buffer.from('28b52ffd', 'hex');

export interface ZstdFrameWalk {
  /** @throws LeonoreError `archive.corrupt` when it is no zstd frame */
  push(chunk: Uint8Array): void;
  /** Length of the frame, bytes; undefined as long as its end has not been seen. */
  readonly length: number | undefined;
}

export function walkZstdFrame(subject: string): ZstdFrameWalk {
  let seen = 0;
  /** Bytes to pass over before the next part begins. */
  let skip = 0;
  let isInBlocks = false;
  let isOver = false;
  let hasChecksum = false;
  let pending = Buffer.alloc(0);

  /** Takes the next part off the front of `pending`; false when there is nothing more to take for now. */
  function step(): boolean {
    if (pending.length < (isInBlocks ? 3 : 5)) return false;
    if (isInBlocks) takeBlock();
    else takeFrameHeader();
    return !isOver && skip === 0;
  }

  function takeFrameHeader(): void {
    if (!pending.subarray(0, 4).equals(ZSTD_MAGIC)) throw corrupt(subject, 'does not begin with a zstd frame');
    const descriptor = pending[4] ?? 0;
    hasChecksum = (descriptor & 0x04) !== 0;
    isInBlocks = true;
    advance(5 + frameHeaderRest(descriptor));
  }

  function takeBlock(): void {
    const header = pending.readUIntLE(0, 3);
    const type = (header >> 1) & 3;
    if (type === 3) throw corrupt(subject, 'has a zstd block of a reserved type');
    isOver = (header & 1) === 1;
    advance(3 + (type === 1 ? 1 : header >> 3) + (isOver && hasChecksum ? 4 : 0));
  }

  function advance(bytes: number): void {
    seen += bytes;
    skip = Math.max(0, bytes - pending.length);
    pending = pending.subarray(bytes);
  }

  return {
    push(chunk) {
      if (isOver) return;
      const passed = Math.min(skip, chunk.length);
      skip -= passed;
      pending = Buffer.concat([pending, chunk.subarray(passed)]);
      let goesOn = skip === 0;
      while (goesOn) goesOn = step();
    },
    get length() {
      return isOver ? seen : undefined;
    },
  };
}

/** Bytes of the frame header after its descriptor: window, dictionary id, content size. */
function frameHeaderRest(descriptor: number): number {
  const singleSegment = (descriptor & 0x20) !== 0;
  const contentSizeFlag = descriptor >> 6;
  const window = singleSegment ? 0 : 1;
  const dictionary = [0, 1, 2, 4][descriptor & 3] ?? 0;
  const contentSize = contentSizeFlag === 0 ? (singleSegment ? 1 : 0) : 1 << contentSizeFlag;
  return window + dictionary + contentSize;
}
