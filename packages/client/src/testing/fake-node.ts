/**
 * A small stand-in for a node, for tests of what calls one: the user-facing API over plain maps, with faults on demand.
 * It checks requests with the real schemas. It provisions nothing: tests move its rollouts themselves.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  type Artifact,
  type ArtifactUsage,
  type Collection,
  type EnrolmentToken,
  type Gateway,
  LeonoreError,
  type LeonoreEvent,
  type Need,
  type PackageDetails,
  type PackageDiff,
  type Resolution,
  type Rollout,
  type StoreStatus,
  type Task,
  type Verification,
  toProblem,
} from '@leonore/protocol';
import { createRoutes, fail, type Handler } from './fake-routes.ts';

export interface FakeNode extends AsyncDisposable {
  readonly url: string;
  readonly token: string;
  readonly artifacts: Artifact[];
  readonly gateways: Map<string, Gateway>;
  readonly rollouts: Map<number, Rollout>;
  readonly tasks: Task[];
  readonly tokens: Map<string, EnrolmentToken>;
  readonly packages: Map<string, PackageDetails & { bytes: Buffer }>;
  readonly uploads: Map<string, { size: number; bytes: Buffer }>;
  /** `METHOD /path` of every request, oldest first. */
  readonly requests: string[];
  /** What /explain answers. */
  resolution: Resolution;
  /** What the usage of any artifact is, but for its name and range. */
  usage: Omit<ArtifactUsage, 'name' | 'range'>;
  /** What every version needs. */
  needs: Need[];
  /** How any two packages differ. */
  packageDiff: Pick<PackageDiff, 'components' | 'bytes'>;
  store: StoreStatus;
  /** What a verification of all answers, slice by slice; the last one again and again. That of a package answers the last. */
  verifications: Verification[];
  /** What a collection answers. */
  collection: Collection;
  /** Called before each request; may answer it itself (return true) or destroy the socket. */
  intercept: ((request: IncomingMessage, response: ServerResponse) => boolean) | undefined;
  emit(event: LeonoreEvent): void;
  /** Cuts every open event stream. */
  cutStreams(): void;
  openStreams(): number;
}

export async function startFakeNode(options: { port?: number } = {}): Promise<FakeNode> {
  const token = 'test-admin-token';
  const streams = new Set<ServerResponse>();
  const log: { id: number; event: LeonoreEvent }[] = [];

  const server = createServer((request, response) => {
    void handle(request, response).catch((error: unknown) => {
      response.destroy(error instanceof Error ? error : undefined);
    });
  });
  await new Promise<void>((resolve) => server.listen(options.port ?? 0, '127.0.0.1', resolve));

  const node: FakeNode = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    token,
    artifacts: [],
    gateways: new Map(),
    rollouts: new Map(),
    tasks: [],
    tokens: new Map(),
    packages: new Map(),
    uploads: new Map(),
    requests: [],
    resolution: { outcome: 'plan', plan: { steps: [], remove: [] } },
    usage: { gateways: 0, versions: [], examples: [], rollouts: 0, dependents: [], moreDependents: 0 },
    needs: [],
    packageDiff: { components: [], bytes: { full: 0, least: 0 } },
    store: {
      segments: { count: 0, bytes: 0 },
      deltas: { count: 0, bytes: 0 },
      uploads: { count: 0, bytes: 0 },
      packages: { count: 0 },
      quota: { used: 0 },
      disk: { total: 1000, free: 900, keepFree: 100, state: 'ok' },
      damages: [],
    },
    verifications: [{ ok: true, blobs: 0, bytes: 0, damages: [] }],
    collection: { packages: 0, deltas: 0, segments: 0, bytes: 0 },
    intercept: undefined,
    emit(event) {
      const entry = { id: log.length + 1, event };
      log.push(entry);
      for (const stream of streams) stream.write(frame(entry));
    },
    cutStreams() {
      for (const stream of streams) stream.destroy();
    },
    openStreams: () => streams.size,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  const routes = createRoutes(node);

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://fake');
    node.requests.push(`${request.method} ${url.pathname}`);
    if (node.intercept?.(request, response)) return;
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of request) chunks.push(chunk as Buffer);
    } catch {
      return;
    }
    const raw = Buffer.concat(chunks);
    try {
      if (request.headers.authorization === undefined) fail('auth.missing', 'send a token');
      if (request.headers.authorization !== `Bearer ${token}`) fail('auth.wrong', 'the token is not valid');
      if (url.pathname === '/api/v1/events') {
        openStream(request, response);
        return;
      }
      const found = match(routes, request.method ?? 'GET', url.pathname);
      if (!found) return fail('route.unknown', `there is nothing at ${url.pathname}`);
      const answer = found.handler({
        params: found.params,
        query: url.searchParams,
        headers: request.headers,
        raw,
        body: (schema) => schema.parse(JSON.parse(raw.toString() || '{}')),
      });
      const bytes = answer.bytes ?? (answer.json === undefined ? undefined : Buffer.from(JSON.stringify(answer.json)));
      response.writeHead(answer.status ?? (bytes ? 200 : 204), {
        'content-type': answer.bytes ? 'application/octet-stream' : 'application/json',
        ...answer.headers,
      });
      response.end(bytes);
    } catch (error) {
      const problem = toProblem(
        error instanceof LeonoreError ? error : new LeonoreError('request.invalid', String(error)),
      );
      response.writeHead(problem.status, { 'content-type': 'application/problem+json' });
      response.end(JSON.stringify(problem));
    }
  }

  function openStream(request: IncomingMessage, response: ServerResponse): void {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(': hello\n\n');
    const last = request.headers['last-event-id'];
    if (typeof last === 'string') for (const entry of log) if (entry.id > Number(last)) response.write(frame(entry));
    streams.add(response);
    response.on('close', () => streams.delete(response));
  }

  return node;
}

function frame(entry: { id: number; event: LeonoreEvent }): string {
  return `event: ${entry.event.type}\nid: ${entry.id}\ndata: ${JSON.stringify(entry.event)}\n\n`;
}

function match(routes: Readonly<Record<string, Handler>>, method: string, path: string) {
  const parts = path.split('/');
  for (const [pattern, handler] of Object.entries(routes)) {
    const [wantedMethod, wantedPath = ''] = pattern.split(' ');
    const wanted = wantedPath.split('/');
    if (wantedMethod !== method || wanted.length !== parts.length) continue;
    const params: Record<string, string> = {};
    const fits = wanted.every((want, index) => {
      const have = parts[index] ?? '';
      if (!want.startsWith(':')) return want === have;
      params[want.slice(1)] = decodeURIComponent(have);
      return true;
    });
    if (fits) return { handler, params };
  }
  return undefined;
}
