import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { createPacketGate } from './packet-gate.ts';

const limits = { connectBytes: 1000, packetBytes: 5000 };

/** An MQTT packet with a body of this many bytes. */
function packet(type: number, bodyLength: number, announced = bodyLength): Buffer {
  const head = [type << 4];
  let rest = announced;
  do {
    const byte = rest % 128;
    rest = Math.floor(rest / 128);
    head.push(rest > 0 ? byte | 0x80 : byte);
  } while (rest > 0);
  return Buffer.concat([Buffer.from(head), Buffer.alloc(bodyLength, 0x31)]);
}

describe('the gate before the MQTT parser', () => {
  it('lets packets within the limits pass, however they are cut', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: limits.packetBytes }), { maxLength: 8 }),
        fc.integer({ min: 1, max: 700 }),
        (lengths, cut) => {
          const gate = createPacketGate(limits);
          const stream = Buffer.concat([packet(1, 50), ...lengths.map((length) => packet(3, length))]);
          for (let at = 0; at < stream.length; at += cut) assert.ok(gate.accept(stream.subarray(at, at + cut)));
        },
      ),
    );
  });
  it('stops a CONNECT that announces 268 MB by its first bytes', () => {
    assert.equal(createPacketGate(limits).accept(Buffer.from([0x10, 0xff, 0xff, 0xff, 0x7f])), false);
  });
  it('stops a large packet after a good CONNECT', () => {
    const gate = createPacketGate(limits);
    assert.ok(gate.accept(packet(1, 50)));
    assert.equal(gate.accept(packet(3, 0, limits.packetBytes + 1)), false);
  });
  it('stops a remaining length of more than four bytes', () => {
    assert.equal(createPacketGate(limits).accept(Buffer.from([0x10, 0x80, 0x80, 0x80, 0x80, 0x00])), false);
  });
  it('stops whatever does not begin with a CONNECT', () => {
    assert.equal(createPacketGate(limits).accept(Buffer.from('GET / HTTP/1.1\r\n')), false);
    assert.equal(createPacketGate(limits).accept(packet(3, 10)), false);
  });
});
