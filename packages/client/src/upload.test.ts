import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { isLeonoreError, sha256Schema } from '@leonore/protocol';
import { type Client, createClient } from './client.ts';
import { type FakeNode, startFakeNode } from './testing/fake-node.ts';

const SIZE = 1_500_000;

describe('uploadFile', () => {
  let node: FakeNode;
  let client: Client;
  let folder: string;
  before(async () => {
    node = await startFakeNode();
    client = createClient({ baseUrl: node.url, token: node.token });
    folder = await mkdtemp(join(tmpdir(), 'leonore-upload-'));
  });
  afterEach(() => {
    node.intercept = undefined;
    node.requests.length = 0;
  });
  after(async () => {
    await node[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });

  async function file(size = SIZE) {
    const bytes = randomBytes(size);
    const sha256 = sha256Schema.parse(createHash('sha256').update(bytes).digest('hex'));
    const path = join(folder, sha256);
    await writeFile(path, bytes);
    return { bytes, sha256, path };
  }

  it('sends every byte and reports a progress that only rises', async () => {
    const { bytes, sha256, path } = await file();
    const seen: number[] = [];
    const status = await client.uploadFile(path, sha256, SIZE, { onProgress: ({ sent }) => seen.push(sent) });
    assert.equal(status.complete, true);
    assert.deepEqual(node.uploads.get(sha256)?.bytes, bytes);
    assert.deepEqual(
      seen,
      seen.toSorted((a, b) => a - b),
    );
    assert.ok(seen.length >= 5 && seen.at(-1) === SIZE);
  });

  it('goes on where an earlier upload stopped, and sends nothing when all is there', async () => {
    const { bytes, sha256, path } = await file();
    node.uploads.set(sha256, { size: SIZE, bytes: bytes.subarray(0, SIZE - 10) });
    await client.uploadFile(path, sha256, SIZE);
    assert.equal(node.requests.filter((line) => line.startsWith('PATCH')).length, 1);
    assert.deepEqual(node.uploads.get(sha256)?.bytes, bytes);
    node.requests.length = 0;
    await client.uploadFile(path, sha256, SIZE);
    assert.equal(node.requests.filter((line) => line.startsWith('PATCH')).length, 0);
  });

  it('survives cut connections, lost answers and a node that forgot the upload', async () => {
    const { bytes, sha256, path } = await file();
    let patches = 0;
    node.intercept = (request, response) => {
      if (request.method !== 'PATCH') return false;
      patches++;
      if (patches === 2) request.socket.destroy();
      if (patches === 3) {
        // The bytes arrive, the answer does not.
        response.end = () => response.destroy();
        return false;
      }
      if (patches === 5) node.uploads.delete(sha256);
      return false;
    };
    await client.uploadFile(path, sha256, SIZE, { retryDelayMs: 1 });
    assert.deepEqual(node.uploads.get(sha256)?.bytes, bytes);
    assert.ok(patches > 6);
  });

  it('gives up when nothing gets on, and says that the server is away', async () => {
    const { sha256, path } = await file(10);
    node.intercept = (request) => {
      request.socket.destroy();
      return true;
    };
    const given = client.uploadFile(path, sha256, 10, { retryDelayMs: 1, retries: 3 });
    await assert.rejects(given, (e) => isLeonoreError(e, 'server.unreachable'));
    assert.equal(node.requests.length, 4);
  });

  it('does not try again what cannot be mended', async () => {
    const { path } = await file(10);
    const wrong = sha256Schema.parse('0'.repeat(64));
    await assert.rejects(client.uploadFile(path, wrong, 10), (e) => isLeonoreError(e, 'upload.digest'));
    assert.equal(node.requests.filter((line) => line.startsWith('PATCH')).length, 1);
    await assert.rejects(client.uploadFile(path, wrong, 11), (e) => isLeonoreError(e, 'upload.digest'));
  });

  it('stops when it is told to', async () => {
    const { sha256, path } = await file();
    const stop = new AbortController();
    const onProgress = ({ sent }: { sent: number }) => {
      if (sent > 0) stop.abort();
    };
    await assert.rejects(client.uploadFile(path, sha256, SIZE, { onProgress, signal: stop.signal }), {
      name: 'AbortError',
    });
    assert.notEqual(node.uploads.get(sha256)?.bytes.length, SIZE);
  });
});
