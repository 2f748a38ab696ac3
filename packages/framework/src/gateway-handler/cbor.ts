/**
 * CBOR (RFC 8949) as far as JSON goes: what some DDI clients speak instead. Written as hawkBit writes it (definite lengths,
 * shortest integers); read in every form that a document of JSON's kinds may have. Pure.
 */
import { LeonoreError } from '@leonore/protocol';

const MAX_DEPTH = 64;
const INDEFINITE = 31;
const BREAK = 0xff;

export function encodeCbor(value: unknown): Buffer {
  if (value === null || value === undefined) return Buffer.of(0xf6);
  if (typeof value === 'boolean') return Buffer.of(value ? 0xf5 : 0xf4);
  if (typeof value === 'number') return numberBytes(value);
  if (typeof value === 'string') return Buffer.concat([head(3, Buffer.byteLength(value)), Buffer.from(value)]);
  if (Array.isArray(value)) return Buffer.concat([head(4, value.length), ...value.map(encodeCbor)]);
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  return Buffer.concat([head(5, members.length), ...members.flat().map(encodeCbor)]);
}

function numberBytes(value: number): Buffer {
  if (Number.isSafeInteger(value)) return value < 0 ? head(1, -1 - value) : head(0, value);
  const bytes = Buffer.of(0xfb, 0, 0, 0, 0, 0, 0, 0, 0);
  bytes.writeDoubleBE(value, 1);
  return bytes;
}

function head(major: number, argument: number): Buffer {
  if (argument < 24) return Buffer.of((major << 5) | argument);
  const width = [1, 2, 4].find((bytes) => argument < 2 ** (8 * bytes)) ?? 8;
  const bytes = Buffer.alloc(1 + width, (major << 5) | (24 + Math.log2(width)));
  if (width === 8) bytes.writeBigUInt64BE(BigInt(argument), 1);
  else bytes.writeUIntBE(argument, 1, width);
  return bytes;
}

/** @throws request.invalid when it is no CBOR, has no counterpart in JSON, or goes on after its end */
export function decodeCbor(bytes: Uint8Array): unknown {
  const reader: Reader = { view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), at: 0 };
  try {
    const value = read(reader, 0);
    if (reader.at !== bytes.byteLength) throw refused('something follows its end');
    return value;
  } catch (error) {
    if (error instanceof RangeError) throw refused('it ends in the middle');
    throw error;
  }
}

/** The view throws a RangeError past its end. */
interface Reader {
  readonly view: DataView;
  at: number;
}

function read(reader: Reader, depth: number): unknown {
  if (depth > MAX_DEPTH) throw refused('it is nested too deeply');
  const first = reader.view.getUint8(reader.at++);
  const [major, info] = [first >> 5, first & 31];
  if (major === 7) return simple(reader, info);
  const length = info === INDEFINITE ? Infinity : argument(reader, info);
  if (length === Infinity && (major < 2 || major === 6)) throw refused('it has a number without an end');
  switch (major) {
    case 0:
      return length;
    case 1:
      return -1 - length;
    case 3:
      return length === Infinity
        ? [...items(reader, length, () => text(reader, depth))].join('')
        : chars(reader, length);
    case 4:
      return [...items(reader, length, () => read(reader, depth + 1))];
    case 5:
      // fromEntries defines members: a key named __proto__ is no more than a key.
      return Object.fromEntries(items(reader, length, () => [text(reader, depth), read(reader, depth + 1)] as const));
    case 6:
      return read(reader, depth + 1);
    default:
      throw refused('it has bytes, which JSON has not');
  }
}

function* items<T>(reader: Reader, length: number, next: () => T): Generator<T> {
  for (let i = 0; i < length; i++) {
    if (length === Infinity && reader.view.getUint8(reader.at) === BREAK) {
      reader.at++;
      return;
    }
    yield next();
  }
}

function text(reader: Reader, depth: number): string {
  const found = read(reader, depth + 1);
  if (typeof found !== 'string') throw refused('it has a key that is no text');
  return found;
}

function chars(reader: Reader, length: number): string {
  const { buffer, byteOffset, byteLength } = reader.view;
  if (length > byteLength - reader.at) throw refused('it ends in the middle');
  reader.at += length;
  return Buffer.from(buffer, byteOffset + reader.at - length, length).toString();
}

function simple(reader: Reader, info: number): unknown {
  if (info === 20 || info === 21) return info === 21;
  if (info === 22 || info === 23) return null;
  const at = reader.at;
  if (info < 25 || info > 27) throw refused('it has a simple value that JSON has not');
  reader.at += 2 ** (info - 24);
  return info === 25
    ? reader.view.getFloat16(at)
    : info === 26
      ? reader.view.getFloat32(at)
      : reader.view.getFloat64(at);
}

function argument(reader: Reader, info: number): number {
  if (info < 24) return info;
  if (info > 27) throw refused('it uses a length that is reserved');
  const { at, view } = reader;
  reader.at += 2 ** (info - 24);
  if (info === 27) return Number(view.getBigUint64(at));
  return info === 24 ? view.getUint8(at) : info === 25 ? view.getUint16(at) : view.getUint32(at);
}

function refused(why: string): LeonoreError {
  return new LeonoreError('request.invalid', `the body cannot be read as CBOR: ${why}`);
}
