/**
 * A small server that speaks enrolment, profile and DDI to one gateway, with real HTTP, and misbehaves on demand. It
 * keeps what it was told. What it offers is set by the test.
 */

import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type DdiDeployment, type DdiFeedback, ddiFeedbackSchema } from '@leonore/protocol';

export interface Served {
  readonly bytes: Uint8Array;
  readonly etag?: string;
}
export interface Request {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: unknown;
}
export interface FakeServer extends AsyncDisposable {
  readonly url: string;
  readonly requests: Request[];
  /** Feedback by action, in the order of arrival. */
  readonly reports: { readonly actionId: string; readonly report: DdiFeedback }[];
  readonly cancelReports: DdiFeedback[];
  /** `POST`: with the enrolment. */
  readonly profiles: { readonly method: string; readonly document: Record<string, unknown> }[];
  offered: DdiDeployment | undefined;
  canceling: string | undefined;
  readonly packages: Map<string, Served>;
  /** Answers to downloads, with the bytes of their bodies. */
  readonly sent: { readonly path: string; readonly range: string | undefined; readonly bytes: number }[];
  mqttUrl: string | undefined;
  sleep: string;
  /** Answers in place of the server when it gives true. */
  intercept: (request: Request, response: ServerResponse) => boolean | Promise<boolean>;
  /** Actions that have ended: feedback is answered 410. */
  readonly gone: Set<string>;
  secret: string | undefined;
  closed(actionId: string): DdiFeedback | undefined;
  /** Hard down, then up again on the same port. */
  down(): Promise<void>;
  up(): Promise<void>;
}

export const TOKEN = 'enrol-me';

export async function startFakeServer(): Promise<FakeServer> {
  let server: Server;
  let port = 0;
  const listen = async (): Promise<void> => {
    server = createServer((incoming, response) => {
      void handle(incoming, response).catch((error: unknown) => response.destroy(error as Error));
    });
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    port = (server.address() as AddressInfo).port;
  };
  const stop = async (): Promise<void> => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };

  const handle = async (incoming: IncomingMessage, response: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming as AsyncIterable<Buffer>) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString('utf8');
    const request: Request = {
      method: incoming.method ?? '',
      path: incoming.url ?? '',
      headers: incoming.headers,
      body: text === '' ? undefined : JSON.parse(text),
    };
    fake.requests.push(request);
    if (await fake.intercept(request, response)) return;
    answer(fake, request, response);
  };

  const fake: FakeServer = {
    get url() {
      return `http://127.0.0.1:${port}`;
    },
    requests: [],
    reports: [],
    cancelReports: [],
    profiles: [],
    offered: undefined,
    canceling: undefined,
    packages: new Map(),
    sent: [],
    mqttUrl: undefined,
    sleep: '00:00:01',
    intercept: () => false,
    gone: new Set(),
    secret: undefined,
    closed: (actionId) =>
      fake.reports.find((one) => one.actionId === actionId && /closed|rejected/.test(one.report.status.execution))
        ?.report,
    down: stop,
    up: listen,
    [Symbol.asyncDispose]: stop,
  };
  await listen();
  return fake;
}

export function json(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): void {
  const text = JSON.stringify(body);
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    ...headers,
  });
  response.end(text);
}

function answer(fake: FakeServer, request: Request, response: ServerResponse): void {
  const { path } = request;
  if (path === '/gateway/v1/enrol') return enrol(fake, request, response);
  if (request.headers.authorization !== `TargetToken ${fake.secret}`) return json(response, 401, {});
  if (path.startsWith('/gateway/v1/')) {
    fake.profiles.push({ method: request.method, document: request.body as Record<string, unknown> });
    return json(response, 200, {});
  }
  if (path.startsWith('/packages/')) return servePackage(fake, request, response);
  const [, kind, id, feedback] =
    /^\/DEFAULT\/controller\/v1\/gw-1(?:\/(\w+)\/(\d+)(\/feedback)?)?(?:\?.*)?$/.exec(path) ?? [];
  if (feedback !== undefined && id !== undefined) {
    const report = ddiFeedbackSchema.parse(request.body);
    if (fake.gone.has(id)) return json(response, 410, {});
    if (kind === 'cancelAction') {
      fake.cancelReports.push(report);
      fake.canceling = undefined;
      if (report.status.execution === 'closed') fake.offered = undefined;
      return json(response, 200, {});
    }
    fake.reports.push({ actionId: id, report });
    const ended = report.status.execution === 'closed' || report.status.execution === 'rejected';
    if (ended && fake.offered?.id === id) fake.offered = undefined;
    return json(response, 200, {});
  }
  if (kind === 'deploymentBase') return fake.offered ? json(response, 200, fake.offered) : json(response, 404, {});
  if (kind === 'cancelAction') return json(response, 200, { id, cancelAction: { stopId: id } });
  if (path === '/DEFAULT/controller/v1/gw-1') return poll(fake, request, response);
  json(response, 404, {});
}

function enrol(fake: FakeServer, request: Request, response: ServerResponse): void {
  const body = request.body as {
    token: string;
    secret: string;
    id: string;
    profile?: Record<string, unknown>;
  };
  if (body.token !== TOKEN) {
    return json(response, 401, {
      type: 'urn:leonore:error:token.invalid',
      title: '',
      status: 401,
      detail: 'the token is not valid',
      code: 'token.invalid',
    });
  }
  fake.secret = body.secret;
  if (body.profile) fake.profiles.push({ method: 'POST', document: body.profile });
  json(response, 200, {
    tenant: 'default',
    id: body.id,
    credential: { kind: 'token' },
    ddiUrl: `${fake.url}/DEFAULT/controller/v1/${body.id}`,
    ...(fake.mqttUrl === undefined ? {} : { mqttUrl: fake.mqttUrl }),
    pollIntervalSeconds: 1,
  });
}

function poll(fake: FakeServer, request: Request, response: ServerResponse): void {
  const base = `${fake.url}/DEFAULT/controller/v1/gw-1`;
  const links =
    fake.canceling !== undefined
      ? { cancelAction: { href: `${base}/cancelAction/${fake.canceling}` } }
      : fake.offered
        ? { deploymentBase: { href: `${base}/deploymentBase/${fake.offered.id}?c=-17` } }
        : {};
  const document = {
    config: {
      polling: { sleep: fake.sleep },
      ...(fake.mqttUrl === undefined ? {} : { push: { mqttUrl: fake.mqttUrl } }),
    },
    ...(Object.keys(links).length > 0 ? { _links: links } : {}),
  };
  const etag = `"${createHash('sha256').update(JSON.stringify(document)).digest('hex').slice(0, 16)}"`;
  if (request.headers['if-none-match'] === etag) {
    response.writeHead(304, { etag });
    response.end();
    return;
  }
  json(response, 200, document, { etag });
}

export function servePackage(fake: FakeServer, request: Request, response: ServerResponse): void {
  const served = fake.packages.get(request.path);
  if (!served) return json(response, 404, {});
  const { from, end, head } = servedRange(served, request);
  if (from >= served.bytes.length) {
    response.writeHead(416, { 'content-range': `bytes */${served.bytes.length}` });
    response.end();
    return;
  }
  response.writeHead(...head);
  response.end(served.bytes.subarray(from, end));
  fake.sent.push({ path: request.path, range: request.headers.range, bytes: end - from });
}

/** As a server does it that knows If-Range and one range. */
function servedRange({ bytes, etag }: Served, request: Request) {
  const fits = request.headers['if-range'] === undefined || request.headers['if-range'] === etag;
  const range = fits ? /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') : null;
  const from = Number(range?.[1] ?? 0);
  const end = Math.min(bytes.length, range?.[2] ? Number(range[2]) + 1 : bytes.length);
  const headers = {
    'content-length': end - from,
    ...(etag === undefined ? {} : { etag }),
    ...(range ? { 'content-range': `bytes ${from}-${end - 1}/${bytes.length}` } : {}),
  };
  return { from, end, head: [range ? 206 : 200, headers] as const };
}

/** Sends the answer to `request` as `servePackage` would, but breaks the connection after `count` bytes of the body. */
export function cutAfter(fake: FakeServer, request: Request, response: ServerResponse, count: number): void {
  const served = fake.packages.get(request.path) ?? { bytes: new Uint8Array() };
  const { from, end, head } = servedRange(served, request);
  response.writeHead(...head);
  const part = served.bytes.subarray(from, Math.min(end, from + count));
  response.write(part, () => setTimeout(() => response.destroy(), 20));
  fake.sent.push({ path: request.path, range: request.headers.range, bytes: part.length });
}
