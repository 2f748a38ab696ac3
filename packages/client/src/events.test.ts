import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isLeonoreError, type LeonoreEvent } from '@leonore/protocol';
import { createClient } from './client.ts';
import { startFakeNode } from './testing/fake-node.ts';

const seen = (id: string): LeonoreEvent => ({ type: 'gateway', gateway: { id, connected: true } });
const idOf = (event: LeonoreEvent | undefined) => (event?.type === 'gateway' ? event.gateway.id : event?.type);

describe('events', { timeout: 20_000 }, () => {
  it('gives events as they come, and after a cut those that were missed, each once', async () => {
    await using node = await startFakeNode();
    const client = createClient({ baseUrl: node.url, token: node.token });
    const stop = new AbortController();
    const downs: Error[] = [];
    const received: (string | undefined)[] = [];
    const reading = (async () => {
      const options = {
        signal: stop.signal,
        reconnectMs: 5,
        onConnection: (connection: { up: true } | { up: false; error: Error }) => {
          if (connection.up && received.length === 0) node.emit(seen('one'));
          if (!connection.up) downs.push(connection.error);
        },
      };
      for await (const event of client.events(options)) {
        received.push(idOf(event));
        if (received.length === 1) {
          node.cutStreams();
          node.emit(seen('two'));
          node.emit(seen('three'));
        }
        if (received.length === 3) stop.abort();
      }
    })();
    await reading;
    assert.deepEqual(received, ['one', 'two', 'three']);
    assert.equal(downs.length, 1);
    assert.ok(isLeonoreError(downs[0], 'server.unreachable'));
  });

  it('says that events may be lost when there is no id to go on from', async () => {
    await using node = await startFakeNode();
    const stop = new AbortController();
    const client = createClient({ baseUrl: node.url, token: node.token });
    let ups = 0;
    const onConnection = ({ up }: { up: boolean }) => {
      if (up && ++ups === 1) setImmediate(() => node.cutStreams());
    };
    for await (const event of client.events({ signal: stop.signal, reconnectMs: 5, onConnection })) {
      assert.equal(event.type, 'reset');
      stop.abort();
    }
    assert.equal(ups, 2);
  });

  it('takes a silent stream for dead and connects again', async () => {
    await using node = await startFakeNode();
    const stop = new AbortController();
    const client = createClient({ baseUrl: node.url, token: node.token });
    let lost = '';
    const onConnection = (connection: { up: true } | { up: false; error: Error }) => {
      if (connection.up) return;
      lost = connection.error.message;
      stop.abort();
    };
    const options = { signal: stop.signal, idleTimeoutMs: 50, onConnection };
    for await (const event of client.events(options)) assert.fail(event.type);
    assert.match(lost, /nothing came/);
  });

  it('does not knock for ever with a wrong token', async () => {
    await using node = await startFakeNode();
    const reading = createClient({ baseUrl: node.url, token: 'wrong' }).events().next();
    await assert.rejects(reading, (e) => isLeonoreError(e, 'auth.wrong'));
  });

  it('waits for a node that is not there yet', async () => {
    const first = await startFakeNode();
    const port = Number(new URL(first.url).port);
    await first[Symbol.asyncDispose]();
    const stop = new AbortController();
    const client = createClient({ baseUrl: first.url, token: first.token });
    await using started = new AsyncDisposableStack();
    let downs = 0;
    const onConnection = ({ up }: { up: boolean }) => {
      if (up) stop.abort();
      else if (++downs === 2) void startFakeNode({ port }).then((node) => started.use(node));
    };
    for await (const event of client.events({ signal: stop.signal, reconnectMs: 5, onConnection }))
      assert.fail(event.type);
    assert.ok(downs >= 2);
  });
});
