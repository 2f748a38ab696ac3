/** CoAP (RFC 7252) as far as both sides need the same of it: messages, reliable sending, resources, the proof. No I/O. */
export * from './message.ts';
export * from './resources.ts';
export * from './transmitter.ts';
