/**
 * CoAP messages (RFC 7252, section 3) with the options that LEONORE speaks of: plain values in and out, nothing is kept.
 * Bytes are read and written by coap-packet; what that lets pass and RFC 7252 does not is refused here.
 */
import { generate, parse, type OptionName } from 'coap-packet';

/** Confirmable, non-confirmable, acknowledgement, reset. */
export type CoapType = 'con' | 'non' | 'ack' | 'rst';

export interface CoapOption {
  /** As registered with IANA (`Uri-Path`), or the number of one that has no name here. */
  readonly name: string;
  readonly value: Buffer;
}

export interface CoapMessage {
  readonly type: CoapType;
  /** `0.01` GET, `2.05` Content, `0.00` empty. */
  readonly code: string;
  readonly id: number;
  /** 0 to 8 bytes. */
  readonly token: Buffer;
  readonly options: readonly CoapOption[];
  readonly payload: Buffer;
}

/** What a message says, whoever it goes to. */
export type CoapContent = Pick<CoapMessage, 'code' | 'token' | 'options' | 'payload'>;

export const COAP_PORT = 5683;
export const EMPTY = '0.00';
const NOTHING = Buffer.alloc(0);
const HEADER_BYTES = 4;
const MAX_TOKEN_BYTES = 8;
/** Fits an IPv6 packet that is not fragmented anywhere (RFC 7252, 4.6). */
const MAX_DATAGRAM_BYTES = 1280 - 48;

/** @throws Error when it does not fit into one datagram */
export function encodeCoap({ type, code, id, token, options, payload }: CoapMessage): Buffer {
  return generate(
    {
      code,
      messageId: id,
      token,
      // It sorts them in place.
      options: options.map(({ name, value }) => ({ name, value })),
      payload,
      confirmable: type === 'con',
      ack: type === 'ack',
      reset: type === 'rst',
    },
    MAX_DATAGRAM_BYTES,
  );
}

/** Undefined for what is no CoAP message. */
export function decodeCoap(datagram: Buffer): CoapMessage | undefined {
  if (datagram.length < HEADER_BYTES || ((datagram[0] ?? 0) & 0x0f) > MAX_TOKEN_BYTES) return undefined;
  try {
    const { confirmable, ack, reset, code, messageId: id, token, options, payload } = parse(datagram);
    if (token.length !== ((datagram[0] ?? 0) & 0x0f)) return undefined;
    const type = confirmable ? 'con' : ack ? 'ack' : reset ? 'rst' : 'non';
    return {
      type,
      code,
      id,
      token,
      options: options.map(({ name, value }) => ({ name: String(name), value })),
      payload,
    };
  } catch {
    return undefined;
  }
}

/** The refusal of a datagram that asks to be acknowledged; undefined for one that does not. */
export function resetOf(datagram: Buffer): Buffer | undefined {
  const isConfirmable = datagram.length >= HEADER_BYTES && (datagram[0] ?? 0) >> 4 === 0b0100;
  return isConfirmable ? encodeCoap(emptyCoap('rst', datagram.readUInt16BE(2))) : undefined;
}

export function emptyCoap(type: 'ack' | 'rst', id: number): CoapMessage {
  return { type, code: EMPTY, id, token: NOTHING, options: [], payload: NOTHING };
}

export function coapOption(name: OptionName, value: Buffer | string | number): CoapOption {
  if (typeof value === 'number') return { name, value: uintBytes(value) };
  return { name, value: typeof value === 'string' ? Buffer.from(value) : value };
}

export function optionOf({ options }: Pick<CoapMessage, 'options'>, name: OptionName): Buffer | undefined {
  return options.find((option) => option.name === name)?.value;
}

/** All values of an option that may be there several times, as text. */
export function textsOf({ options }: Pick<CoapMessage, 'options'>, name: OptionName): string[] {
  return options.filter((option) => option.name === name).map(({ value }) => value.toString());
}

/** An option that is a number (RFC 7252, 3.2); undefined when it is not there or has more than 4 bytes. */
export function uintOf(message: Pick<CoapMessage, 'options'>, name: OptionName): number | undefined {
  const value = optionOf(message, name);
  if (!value || value.length > 4) return undefined;
  return value.length === 0 ? 0 : value.readUIntBE(0, value.length);
}

/** Shortest form, no bytes for 0. */
function uintBytes(value: number): Buffer {
  const hex = value === 0 ? '' : value.toString(16);
  return Buffer.from(hex.length % 2 === 1 ? `0${hex}` : hex, 'hex');
}

/** RFC 7959, 2.2: the block `num` of those that have `size` bytes each, and whether there are `more`. */
export interface CoapBlock {
  readonly num: number;
  readonly more: boolean;
  /** A power of two, 16 to 1024. */
  readonly size: number;
}

export const MAX_BLOCK_BYTES = 1024;
export const MAX_BLOCK_NUM = 2 ** 20 - 1;

/** `malformed`: longer than 3 bytes, or of the size that is reserved. */
export function blockOf(
  message: Pick<CoapMessage, 'options'>,
  name: 'Block1' | 'Block2',
): CoapBlock | 'malformed' | undefined {
  const value = optionOf(message, name);
  if (!value) return undefined;
  const bits = value.length > 3 ? undefined : uintOf(message, name);
  if (bits === undefined || (bits & 7) === 7) return 'malformed';
  return { num: bits >> 4, more: (bits & 8) !== 0, size: 2 ** ((bits & 7) + 4) };
}

export function blockOption(name: 'Block1' | 'Block2', { num, more, size }: CoapBlock): CoapOption {
  return coapOption(name, num * 16 + (more ? 8 : 0) + (Math.log2(size) - 4));
}
