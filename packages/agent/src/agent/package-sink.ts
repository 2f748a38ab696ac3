/**
 * Takes the bytes of a package apart as they come: each piece goes to its part, what is here already or is not wanted
 * goes nowhere. Tells the download where to go on: at the first gap, up to where the next gap begins that does not touch it.
 */
import type { PackageSink } from '../connectivity/mod.ts';
import type { Part } from './part-store.ts';

/** `start`: where it lies in the content that is brought. */
export interface Piece {
  readonly start: number;
  readonly part: Part;
}

export interface PackageSinkOptions {
  /** Bytes of the whole content. */
  readonly size: number;
  /** By their start. Asked again with each chunk: there may be more of them as soon as one of them is here. */
  readonly pieces: () => readonly Piece[];
  /** While it is true everything behind the pieces is wanted as well, as it is not known yet what it is. */
  readonly toTheEnd: () => boolean;
  readonly etag: string | undefined;
  readonly onEtag: (etag: string | undefined) => Promise<void>;
  /** All bytes of that piece are here and have their digest. Awaited before more are taken; what it throws ends the download. */
  readonly onPiece?: (piece: Piece) => Promise<void>;
  /** Bytes that came, wanted or not. */
  readonly onBytes?: (count: number) => void;
}

export function createPackageSink(options: PackageSinkOptions): PackageSink {
  const { size, pieces, toTheEnd } = options;
  let { etag } = options;
  return {
    position() {
      const gaps = pieces().filter(isWanted);
      const [first] = gaps;
      if (!first) return { offset: size, etag };
      const offset = nextOf(first);
      let end = first.start;
      for (const piece of gaps) {
        if (piece !== first && nextOf(piece) !== end) break;
        end = endOf(piece);
      }
      const wantsAll = end === size || (toTheEnd() && end === endOf(gaps.at(-1) ?? first));
      return { offset, end: wantsAll ? undefined : end, etag };
    },
    async restart(next) {
      if (next === etag) return;
      etag = next;
      await options.onEtag(next);
    },
    async append(chunk, at) {
      options.onBytes?.(chunk.length);
      let position = at;
      const end = at + chunk.length;
      while (position < end) {
        const piece = pieces().find((one) => isWanted(one) && nextOf(one) >= position);
        if (!piece || nextOf(piece) >= end) return;
        const from = nextOf(piece) - at;
        const taken = chunk.subarray(from, from + (endOf(piece) - nextOf(piece)));
        position = at + from + taken.length;
        await piece.part.append(taken);
        if (!isWanted(piece)) await options.onPiece?.(piece);
      }
    },
  };
}

function isWanted({ part }: Piece): boolean {
  return part.have < part.length;
}

function nextOf({ start, part }: Piece): number {
  return start + part.have;
}

function endOf({ start, part }: Piece): number {
  return start + part.length;
}
