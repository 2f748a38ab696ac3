/** The gateway-facing HTTP side of a server that gives every gateway one task, and errs where the test wants it to. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { type DdiFeedback, type DdiPoll, ddiFeedbackSchema, enrolRequestSchema } from '@leonore/protocol';
import type { MadePackage } from './made-package.ts';

export interface ScriptedServer extends AsyncDisposable {
  readonly url: string;
  /** What each gateway reported, in order. */
  readonly reports: ReadonlyMap<string, readonly DdiFeedback[]>;
  readonly enrolled: readonly string[];
  /** Every gateway has a task again, with this number. */
  offer(sequence: number, made: MadePackage): void;
}

export interface ScriptedServerOptions {
  /** What a gateway gets for these bytes. */
  readonly bytesFor?: (gateway: string, bytes: Buffer) => Buffer;
  /** Status of the answer to an enrolment; 200 goes on as usual. */
  readonly enrolStatus?: (gateway: string, attempt: number) => number;
  /** Status of the answer to a feedback. */
  readonly feedbackStatus?: (gateway: string, feedback: DdiFeedback) => number;
  /** The operator wants the task to stop. */
  readonly canceling?: (gateway: string) => boolean;
}

export async function startScriptedServer(options: ScriptedServerOptions = {}): Promise<ScriptedServer> {
  const reports = new Map<string, DdiFeedback[]>();
  const attempts = new Map<string, number>();
  const enrolled: string[] = [];
  const ended = new Set<string>();
  let offered: { sequence: number; made: MadePackage } | undefined;

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const json = (body: unknown, status = 200): void =>
      void response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    const path = new URL(request.url ?? '/', url).pathname;
    if (path === '/gateway/v1/enrol') {
      const { id } = enrolRequestSchema.parse(JSON.parse(await text(request)));
      attempts.set(id, (attempts.get(id) ?? 0) + 1);
      const status = options.enrolStatus?.(id, attempts.get(id) ?? 0) ?? 200;
      if (status !== 200) return json({}, status);
      enrolled.push(id);
      const ddiUrl = `${url}/default/controller/v1/${id}`;
      return json({ tenant: 'default', id, credential: { kind: 'token' }, ddiUrl, pollIntervalSeconds: 1 });
    }
    const [, id = '', rest = ''] = /^\/default\/controller\/v1\/([^/]+)(.*)$/i.exec(path) ?? [];
    const base = `${url}/default/controller/v1/${id}`;
    if (rest === '') {
      const work = offered && !ended.has(id);
      const poll: DdiPoll = { config: { polling: { sleep: '00:00:01' } } };
      const rel = options.canceling?.(id) ? 'cancelAction' : 'deploymentBase';
      return json(work ? { ...poll, _links: { [rel]: { href: `${base}/${rel}/${offered?.sequence}` } } } : poll);
    }
    if (rest.endsWith('/feedback')) {
      const report = ddiFeedbackSchema.parse(JSON.parse(await text(request)));
      reports.set(id, [...(reports.get(id) ?? []), report]);
      const status = options.feedbackStatus?.(id, report) ?? 200;
      if (status === 410 || (status === 200 && ['closed', 'rejected'].includes(report.status.execution))) ended.add(id);
      return void response.writeHead(status).end();
    }
    if (rest.startsWith('/cancelAction/')) {
      return json({ id: String(offered?.sequence), cancelAction: { stopId: String(offered?.sequence) } });
    }
    if (rest.startsWith('/deploymentBase/')) return json(offered?.made.deployment(offered.sequence, `${base}/package`));
    if (rest === '/package' && offered) {
      const bytes = options.bytesFor?.(id, offered.made.bytes) ?? offered.made.bytes;
      return void response.writeHead(200, { 'content-length': bytes.length, etag: '"made"' }).end(bytes);
    }
    return json({}, 404);
  }

  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => {
      response.writeHead(400).end(String(error));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url,
    reports,
    enrolled,
    offer(sequence, made) {
      offered = { sequence, made };
      ended.clear();
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
