/**
 * Watches the framing of MQTT packets (MQTT 3.1.1, section 2.2) before the broker's parser sees them, and says stop when
 * one is announced larger than allowed: a parser that buffers what a CONNECT announces can be made to hold 256 MiB by
 * anybody, before any authentication.
 */

export interface PacketGate {
  /** False when these bytes announce a packet over the limit or no MQTT at all. */
  accept(chunk: Uint8Array): boolean;
}

const CONNECT = 1;

export function createPacketGate(limits: { connectBytes: number; packetBytes: number }): PacketGate {
  /** Bytes of the present packet's body still to come. */
  let bodyLeft = 0;
  /** In a fixed header: its first byte is read, `length` and `shift` gather the remaining length. */
  let inHeader = false;
  let length = 0;
  let shift = 0;
  let connected = false;

  return {
    accept(chunk) {
      let at = 0;
      while (at < chunk.length) {
        if (bodyLeft > 0) {
          const step = Math.min(bodyLeft, chunk.length - at);
          bodyLeft -= step;
          at += step;
          continue;
        }
        const byte = chunk[at++] ?? 0;
        if (!inHeader) {
          // Until a CONNECT has come, nothing else may come.
          if (!connected && byte >> 4 !== CONNECT) return false;
          inHeader = true;
          length = 0;
          shift = 0;
          continue;
        }
        length += (byte & 0x7f) * 2 ** shift;
        shift += 7;
        const more = (byte & 0x80) !== 0;
        if (length > (connected ? limits.packetBytes : limits.connectBytes) || (more && shift > 21)) return false;
        if (more) continue;
        inHeader = false;
        bodyLeft = length;
        connected = true;
      }
      return true;
    },
  };
}
