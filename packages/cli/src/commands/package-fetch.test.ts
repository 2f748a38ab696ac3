import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { createClient } from '@leonore/client';
import { type FakeNode, startFakeNode } from '@leonore/client/testing';
import { isLeonoreError, packageDetailsSchema, sha256Schema } from '@leonore/protocol';
import type { App } from '../app.ts';
import { createFakeTerminal } from '../testing/fake-terminal.ts';
import { fetchPackage } from './package-fetch.ts';

const ID = `p-${'1'.repeat(32)}`;
const HEADER = 300;
const SEGMENT = 200_000;

describe('package fetch', () => {
  let node: FakeNode;
  let folder: string;
  let bytes: Buffer;
  let app: App;
  before(async () => {
    node = await startFakeNode();
    folder = await mkdtemp(join(tmpdir(), 'leonore-fetch-'));
    const client = createClient({ baseUrl: node.url, token: node.token });
    app = { terminal: createFakeTerminal(), connect: async () => client, exitCode: 0 };
  });
  beforeEach(() => {
    bytes = randomBytes(HEADER + SEGMENT + 20);
    const sha = (from: number, to: number) =>
      sha256Schema.parse(createHash('sha256').update(bytes.subarray(from, to)).digest('hex'));
    const segment = { offset: 0, length: SEGMENT, sha256: sha(HEADER, HEADER + SEGMENT) };
    const component = {
      name: 'svm',
      version: '1.0.0',
      action: 'install',
      requested: true,
      after: [],
      contentSha256: segment.sha256,
      segment,
      files: [],
      unpackedSize: 1,
    };
    const manifest = {
      schemaVersion: 1,
      id: ID,
      encoding: 'gzip',
      gatewayClass: { id: 'c', platform: {} },
      components: [component],
      keep: [],
      remove: [],
      payloadSize: SEGMENT,
    };
    const details = packageDetailsSchema.parse({
      id: ID,
      format: 'tar.gz',
      encoding: 'gzip',
      fileName: `${ID}.tar.gz`,
      sha256: sha(0, HEADER),
      size: bytes.length,
      headerSize: HEADER,
      gatewayClass: 'c',
      components: [{ name: 'svm', version: '1.0.0' }],
      createdAt: 1,
      manifest,
    });
    node.packages.set(ID, { ...details, bytes });
  });
  after(async () => {
    await node[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });
  const file = () => join(folder, `${bytes.toString('hex', 0, 8)}.tar.gz`);

  it('brings every byte', async () => {
    await fetchPackage(ID, { file: file() }, app);
    assert.deepEqual(await readFile(file()), bytes);
    await assert.rejects(stat(`${file()}.part`));
  });

  it('goes on where it stopped', async () => {
    await writeFile(`${file()}.part`, bytes.subarray(0, 150_000));
    let range: string | undefined;
    node.intercept = (request) => {
      range ??= request.headers.range;
      return false;
    };
    await fetchPackage(ID, { file: file() }, app);
    assert.equal(range, 'bytes=150000-');
    assert.deepEqual(await readFile(file()), bytes);
    node.intercept = undefined;
  });

  it('keeps what came when the connection is cut, and says that the same call goes on', async () => {
    node.intercept = (request, response) => {
      if (!request.url?.startsWith('/packages/')) return false;
      response.writeHead(200, { 'content-length': String(bytes.length) });
      response.write(bytes.subarray(0, 100_000), () => setTimeout(() => response.destroy(), 20));
      return true;
    };
    await assert.rejects(fetchPackage(ID, { file: file() }, app), (e) => isLeonoreError(e, 'server.unreachable'));
    assert.equal((await stat(`${file()}.part`)).size, 100_000);
    await assert.rejects(stat(file()));
    node.intercept = undefined;
    await fetchPackage(ID, { file: file() }, app);
    assert.deepEqual(await readFile(file()), bytes);
  });

  it('never leaves a file whose digests are wrong, and names the part', async () => {
    for (const [at, part] of [
      [10, 'the header'],
      [HEADER + 5, 'the segment svm'],
    ] as const) {
      const damaged = Buffer.from(bytes);
      damaged[at] = (damaged[at] ?? 0) ^ 1;
      const known = node.packages.get(ID);
      assert.ok(known);
      node.packages.set(ID, { ...known, bytes: damaged });
      await assert.rejects(
        fetchPackage(ID, { file: file() }, app),
        (e) => isLeonoreError(e, 'archive.mismatch') && e.message.startsWith(part),
      );
      await assert.rejects(stat(file()));
      await assert.rejects(stat(`${file()}.part`));
    }
  });

  it('checks what no header names: all around the segments of a .swu, the whole of an image', async () => {
    const hashOf = (...pieces: Buffer[]) =>
      sha256Schema.parse(createHash('sha256').update(Buffer.concat(pieces)).digest('hex'));
    const end = HEADER + SEGMENT;
    const known = node.packages.get(ID);
    const component = known?.manifest.components[0];
    assert.ok(known && component);
    for (const { format, from, to, sha256, headerSize, damages } of [
      {
        format: 'swu' as const,
        from: HEADER,
        to: end,
        sha256: hashOf(bytes.subarray(0, HEADER), bytes.subarray(end)),
        headerSize: bytes.length - SEGMENT,
        damages: [0, HEADER, bytes.length - 1],
      },
      { format: 'image' as const, from: 0, to: bytes.length, sha256: hashOf(bytes), headerSize: 0, damages: [0, end] },
    ]) {
      const segment = { offset: from, length: to - from, sha256: hashOf(bytes.subarray(from, to)) };
      const manifest = { ...known.manifest, components: [{ ...component, segment }] };
      const details = { ...known, format, sha256, headerSize, manifest };
      node.packages.set(ID, details);
      await fetchPackage(ID, { file: file() }, app);
      assert.deepEqual(await readFile(file()), bytes);
      for (const at of damages) {
        const damaged = Buffer.from(bytes);
        damaged[at] = (damaged[at] ?? 0) ^ 1;
        node.packages.set(ID, { ...details, bytes: damaged });
        await assert.rejects(fetchPackage(ID, { file: file() }, app), (e) => isLeonoreError(e, 'archive.mismatch'));
      }
    }
  });
});
