/**
 * A node as small as one gateway needs: enrolment, profile, DDI and package bytes over real HTTP. It keeps what it is told,
 * and offers what a test wants, however false: digests, tars, sequences.
 */
import { createHash } from 'node:crypto';
import { mkdtemp, readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { composePackage, packageIdOf, packArtifact } from '@leonore/app-package';
import { type ArtifactName, CHUNK_METADATA, type DdiFeedback, type FileEntry, type Sha256 } from '@leonore/protocol';
import { writeArtifact, type ArtifactFiles } from '@leonore/testkit';

export const TOKEN = 'enrol-me';
export const sha256 = (bytes: string | Uint8Array): Sha256 =>
  createHash('sha256').update(bytes).digest('hex') as Sha256;

/** A build: packed as a publisher would, or around a tar that nobody would write. */
export type Build =
  | { readonly artifact: ArtifactFiles; readonly replaces?: string; readonly after?: readonly string[] }
  | { readonly name: string; readonly tar: Buffer; readonly files: readonly FileEntry[] };

export interface TaskSketch {
  /** Action id and, unless said otherwise, sequence. */
  readonly id: number;
  readonly builds?: readonly Build[];
  readonly keep?: readonly { name: string; version: string }[];
  readonly remove?: readonly { name: string; version: string }[];
  readonly platform?: Readonly<Record<string, string>>;
  /** Changes the package's bytes after they were composed. */
  readonly damage?: (bytes: Buffer, headerSize: number) => void;
  readonly metadata?: Readonly<Record<string, string>>;
  /** That the document claims, bytes. */
  readonly size?: number;
}

export interface LiteNode extends AsyncDisposable {
  readonly url: string;
  readonly reports: { readonly action: string; readonly report: DdiFeedback }[];
  readonly cancelReports: DdiFeedback[];
  enrolments: number;
  readonly profiles: Record<string, unknown>[];
  readonly polls: IncomingMessage['headers'][];
  /** When it answered with `status`, ms of `performance.now()`. */
  readonly refused: number[];
  /** `Range` of each download, and the bytes of its answer. */
  readonly downloads: { readonly range: string | undefined; bytes: number }[];
  /** Package bytes that an answer has at most; then it hangs. */
  limit: number;
  /** 0: as it should be; else every answer to a report or poll has this status. */
  status: number;
  /** Of those answers. */
  retryAfter: string | undefined;
  canceling: string | undefined;
  offer(sketch: TaskSketch): Promise<{ size: number }>;
  /** The report that ended the task. */
  closed(id: number): DdiFeedback | undefined;
}

export async function startLiteNode(dir: string): Promise<LiteNode> {
  let offered: { readonly id: string; readonly document: unknown } | undefined;
  let bytes = Buffer.alloc(0);
  let secret = '';
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => answer(request, response, Buffer.concat(chunks).toString()));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const base = `${url}/default/controller/v1/gw-1`;

  const answer = (request: IncomingMessage, response: ServerResponse, body: string): void => {
    const { url: path = '', headers } = request;
    const say = (value: unknown, status = 200, more: Record<string, string> = {}): void => {
      response.writeHead(status, { 'content-type': 'application/json', ...more }).end(JSON.stringify(value));
    };
    if (path === '/gateway/v1/enrol') {
      const wish = JSON.parse(body) as { token: string; secret: string; profile: Record<string, unknown> };
      if (wish.token !== TOKEN) return say({}, 401);
      secret = wish.secret;
      node.enrolments += 1;
      node.profiles.push(wish.profile);
      return say({ tenant: 'default', id: 'gw-1', ddiUrl: base, pollIntervalSeconds: 1 });
    }
    if (headers.authorization !== `TargetToken ${secret}`) return say({}, 401);
    if (path.includes('/package')) return send(headers.range, response);
    if (node.status !== 0) {
      node.refused.push(performance.now());
      return say({}, node.status, node.retryAfter === undefined ? {} : { 'retry-after': node.retryAfter });
    }
    if (path.endsWith('/profile')) {
      node.profiles.push(JSON.parse(body) as Record<string, unknown>);
      return say({});
    }
    const [, kind, id] = /\/(\w+)\/(\d+)(?:\/feedback)?(?:\?.*)?$/.exec(path) ?? [];
    if (path.includes('/feedback')) {
      const report = parsed(body);
      if (!report) return say({}, 400);
      if (kind === 'cancelAction') {
        node.cancelReports.push(report);
        node.canceling = undefined;
        if (report.status.execution === 'closed') offered = undefined;
      } else {
        node.reports.push({ action: id ?? '', report });
        if (/closed|rejected/.test(report.status.execution) && offered?.id === id) offered = undefined;
      }
      return say({});
    }
    if (kind === 'deploymentBase') return offered ? say(offered.document) : say({}, 404);
    node.polls.push(headers);
    const links =
      node.canceling !== undefined
        ? { cancelAction: { href: `${base}/cancelAction/${node.canceling}` } }
        : offered && { deploymentBase: { href: `${base}/deploymentBase/${offered.id}?c=-7` } };
    const poll = { config: { polling: { sleep: '00:00:01' } }, ...(links ? { _links: links } : {}) };
    const etag = `"${sha256(JSON.stringify(poll)).slice(0, 16)}"`;
    if (headers['if-none-match'] === etag) response.writeHead(304, { etag }).end();
    else say(poll, 200, { etag });
  };
  const send = (range: string | undefined, response: ServerResponse): void => {
    const from = Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1] ?? 0);
    const rest = bytes.subarray(from);
    const part = rest.subarray(0, node.limit);
    node.downloads.push({ range, bytes: part.length });
    const more = range === undefined ? {} : { 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` };
    response.writeHead(range === undefined ? 200 : 206, { 'content-length': rest.length, ...more });
    response.write(part);
    if (part.length === rest.length) response.end();
  };

  const node: LiteNode = {
    url,
    reports: [],
    cancelReports: [],
    enrolments: 0,
    profiles: [],
    polls: [],
    refused: [],
    downloads: [],
    limit: Number.POSITIVE_INFINITY,
    status: 0,
    retryAfter: undefined,
    canceling: undefined,
    async offer(sketch) {
      const made = await compose(sketch, dir);
      bytes = made.bytes;
      const metadata: Record<string, string> = {
        [CHUNK_METADATA.packageId]: made.id,
        [CHUNK_METADATA.gatewayClass]: 'class-1',
        [CHUNK_METADATA.sequence]: String(sketch.id),
        [CHUNK_METADATA.expires]: '4102444800000',
        [CHUNK_METADATA.encoding]: 'gzip',
        [CHUNK_METADATA.headerSha256]: made.headerSha256,
        [CHUNK_METADATA.headerSize]: String(made.headerSize),
        ...sketch.metadata,
      };
      const artifact = {
        filename: 'p.tar.gz',
        hashes: { sha1: '', md5: '', sha256: '' },
        size: sketch.size ?? bytes.length,
        _links: { 'download-http': { href: `${url}/package/${made.headerSha256}` } },
      };
      const list = Object.entries(metadata).map(([key, value]) => ({ key, value }));
      const chunk = { part: 'leonore', version: '1', name: made.id, artifacts: [artifact], metadata: list };
      const id = String(sketch.id);
      offered = { id, document: { id, deployment: { download: 'forced', update: 'forced', chunks: [chunk] } } };
      return { size: bytes.length };
    },
    closed: (id) =>
      node.reports.find(
        ({ action, report }) => action === String(id) && /closed|rejected/.test(report.status.execution),
      )?.report,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return node;
}

/** Undefined when it is no JSON. */
function parsed(body: string): DdiFeedback | undefined {
  try {
    return JSON.parse(body) as DdiFeedback;
  } catch {
    return undefined;
  }
}

async function compose(sketch: TaskSketch, dir: string) {
  const segments: Buffer[] = [];
  const components = [];
  for (const build of sketch.builds ?? []) {
    const { segment, ...component } = 'tar' in build ? hostile(build) : await honest(build, dir);
    segments.push(segment);
    components.push({
      ...component,
      segment: { encoding: 'gzip' as const, sha256: sha256(segment), size: segment.length },
    });
  }
  const input = {
    encoding: 'gzip' as const,
    gatewayClass: { id: 'class-1', platform: sketch.platform ?? {} },
    components,
    keep: (sketch.keep ?? []).map((one) => ({ ...one, name: one.name as ArtifactName, requested: true, after: [] })),
    remove: (sketch.remove ?? []).map((one) => ({ ...one, name: one.name as ArtifactName })),
  };
  const id = packageIdOf(input);
  const { header, headerSha256, trailer } = composePackage({ ...input, id });
  const bytes = Buffer.concat([header, ...segments, trailer]);
  sketch.damage?.(bytes, header.length);
  return { id, bytes, headerSha256, headerSize: header.length };
}

async function honest(build: Extract<Build, { artifact: ArtifactFiles }>, dir: string) {
  const source = await writeArtifact(await mkdtemp(join(dir, 'artifact-')), build.artifact);
  const packed = await packArtifact(source, { outDir: await mkdtemp(join(dir, 'packed-')), encodings: ['gzip'] });
  const { manifest, contentSha256, files, unpackedSize } = packed;
  const [packedSegment] = packed.segments;
  if (!packedSegment) throw new Error('it has no segment');
  return {
    name: manifest.name,
    version: manifest.version,
    action: build.replaces === undefined ? ('install' as const) : ('update' as const),
    ...(build.replaces === undefined ? {} : { replaces: build.replaces }),
    requested: true,
    ...(manifest.installPath === undefined ? {} : { installPath: manifest.installPath }),
    after: (build.after ?? []) as ArtifactName[],
    ...(manifest.run ? { run: manifest.run } : {}),
    contentSha256,
    files,
    unpackedSize,
    segment: await readFile(packedSegment.file),
  };
}

function hostile({ name, tar, files }: Extract<Build, { tar: Buffer }>) {
  return {
    name: name as ArtifactName,
    version: '1.0.0',
    action: 'install' as const,
    requested: true,
    after: [],
    contentSha256: sha256(tar),
    files: [...files],
    unpackedSize: files.reduce((sum, { size }) => sum + size, 0),
    segment: gzipSync(tar),
  };
}

export interface RawEntry {
  readonly name: string;
  /** ustar: `0` a file, `1` a hard link, `2` a symbolic link, `3` a device, `5` a folder, `6` a fifo. */
  readonly type?: string;
  readonly body?: string;
  readonly link?: string;
  readonly mode?: string;
}

/** A tar as an attacker would write it, without any check and without end blocks. */
export function rawTar(entries: readonly RawEntry[]): Buffer {
  return Buffer.concat(
    entries.map(({ name, type = '0', body = '', link = '', mode = '0000644' }) => {
      const block = Buffer.alloc(512 + Math.ceil(body.length / 512) * 512);
      const size = `${body.length.toString(8).padStart(11, '0')}\0`;
      const fields: [number, string][] = [
        [0, name],
        [100, `${mode}\0`],
        [108, '0000000\0'],
        [116, '0000000\0'],
        [124, size],
        [136, '00000000000\0'],
        [148, '        '],
        [156, type],
        [157, link],
        [257, 'ustar\x0000'],
        [512, body],
      ];
      for (const [at, text] of fields) block.write(text, at, 'latin1');
      const sum = block.subarray(0, 512).reduce((total, byte) => total + byte, 0);
      block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
      return block;
    }),
  );
}
