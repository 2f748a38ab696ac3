import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { createSseParser, parseSse, type SseMessage } from './sse.ts';

const read = (text: string) => createSseParser().push(text);

describe('createSseParser', () => {
  it('reads events, ids and data', () => {
    assert.deepEqual(read('event: task\nid: 7\ndata: {"a":1}\n\n'), [{ event: 'task', id: '7', data: '{"a":1}' }]);
  });

  it('joins data lines, takes one blank off, and calls an unnamed event message', () => {
    assert.deepEqual(read('data:one\ndata:  two\ndata\n\n'), [{ event: 'message', id: '', data: 'one\n two\n' }]);
  });

  it('keeps the last id for later messages, and ignores an id with NUL', () => {
    const messages = read('id: 1\ndata: a\n\ndata: b\n\nid: x\0y\ndata: c\n\nid\ndata: d\n\n');
    assert.deepEqual(
      messages.map(({ id, data }) => [id, data]),
      [
        ['1', 'a'],
        ['1', 'b'],
        ['1', 'c'],
        ['', 'd'],
      ],
    );
  });

  it('passes over comments, unknown fields, a byte order mark, and events without data', () => {
    assert.deepEqual(read('\uFEFF: hello\nfoo: bar\nevent: x\n\ndata: y\n\n'), [
      { event: 'message', id: '', data: 'y' },
    ]);
  });

  it('takes the retry time only when it is a number', () => {
    const parser = createSseParser();
    parser.push('retry: soon\n');
    assert.equal(parser.retryMs, undefined);
    parser.push('retry: 2500\n');
    assert.equal(parser.retryMs, 2500);
  });

  it('does not give a message whose end has not come', () => {
    const parser = createSseParser();
    assert.deepEqual(parser.push('data: half'), []);
    assert.deepEqual(parser.push('\n'), []);
    assert.deepEqual(parser.push('\n'), [{ event: 'message', id: '', data: 'half' }]);
  });

  it('gives the same messages however the stream is cut, and whichever line ends it uses', async () => {
    const word = fc.stringMatching(/^[a-z0-9 :é😀]{0,8}$/u);
    const line = fc.oneof(
      fc.tuple(fc.constantFrom('data', 'event', 'id', 'other', ''), word).map(([name, value]) => `${name}:${value}`),
      fc.constant(''),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(line, { maxLength: 20 }),
        fc.constantFrom('\n', '\r', '\r\n'),
        fc.array(fc.nat({ max: 200 }), { maxLength: 8 }),
        async (lines, lineEnd, cuts) => {
          // The closing text shows that a CR held back at the end is still counted once.
          const whole = [...lines, '', 'data:end', '', 'x'];
          const expected = read(whole.join('\n'));
          const bytes = new TextEncoder().encode(whole.join(lineEnd));
          assert.deepEqual(await collectMessages(pieces(bytes, cuts)), expected);
          assert.equal(expected.at(-1)?.data.endsWith('end'), true);
        },
      ),
    );
  });
});

async function collectMessages(source: AsyncIterable<Uint8Array>): Promise<SseMessage[]> {
  const messages: SseMessage[] = [];
  for await (const message of parseSse(source)) messages.push(message);
  return messages;
}

async function* pieces(bytes: Uint8Array, cuts: readonly number[]): AsyncGenerator<Uint8Array> {
  const edges = [0, ...cuts.map((cut) => Math.min(cut, bytes.length)).toSorted((a, b) => a - b), bytes.length];
  for (let i = 1; i < edges.length; i++) yield bytes.subarray(edges[i - 1], edges[i]);
}
