/**
 * Bodies that come block by block (RFC 7959, Block1): one at a time for each gateway, a bounded number in all, and each
 * within a size. What goes on where nothing was begun is asked for from its beginning.
 */
import { blockOf, type CoapBlock, type CoapMessage, LeonoreError, MAX_BLOCK_BYTES, uintOf } from '@leonore/protocol';

export type RequestBody =
  | { readonly kind: 'whole'; readonly body: Buffer; readonly block: CoapBlock | undefined }
  /** Go on. */
  | { readonly kind: 'more'; readonly block: CoapBlock }
  /** Begin again. */
  | { readonly kind: 'lost'; readonly block: CoapBlock };

export interface RequestBodies {
  /** `key`: who sends, and what for. @throws LeonoreError request.invalid, request.too-large */
  take(gateway: string, purpose: string, message: CoapMessage): RequestBody;
}

interface Transfer {
  readonly purpose: string;
  readonly parts: Buffer[];
  length: number;
}

export function createRequestBodies(limits: { maxBytes: number; maxTransfers: number }): RequestBodies {
  /** Whoever has been silent longest is first. */
  const transfers = new Map<string, Transfer>();

  function check(bytes: number): void {
    if (bytes <= limits.maxBytes) return;
    throw new LeonoreError('request.too-large', `a body has at most ${limits.maxBytes} bytes`);
  }

  return {
    take(gateway, purpose, message) {
      const block = blockOf(message, 'Block1');
      if (block === 'malformed') throw new LeonoreError('request.invalid', 'Block1 cannot be read');
      check(Math.max(uintOf(message, 'Size1') ?? 0, message.payload.length));
      if (!block) return { kind: 'whole', body: message.payload, block };
      const start = block.num * block.size;
      const known = transfers.get(gateway);
      transfers.delete(gateway);
      const transfer = block.num === 0 ? { purpose, parts: [], length: 0 } : known;
      const isNext = transfer?.purpose === purpose && transfer.length === start;
      const isFull = message.payload.length === block.size || (!block.more && message.payload.length < block.size);
      if (!transfer || !isNext || !isFull) return { kind: 'lost', block };
      check(start + message.payload.length);
      transfer.parts.push(message.payload);
      transfer.length += message.payload.length;
      if (!block.more) return { kind: 'whole', body: Buffer.concat(transfer.parts), block };
      transfers.set(gateway, transfer);
      const [oldest] = transfers.keys();
      if (transfers.size > limits.maxTransfers && oldest !== undefined) transfers.delete(oldest);
      return { kind: 'more', block: { ...block, size: Math.min(block.size, MAX_BLOCK_BYTES) } };
    },
  };
}
