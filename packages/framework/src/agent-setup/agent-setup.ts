/** `/gateway/v1/install.sh` and `/gateway/v1/agent/NAME`: files with their SHA-256 as entity tag, read anew when they change. */
import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { LeonoreError } from '@leonore/protocol';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

/** Name -> path. INSTALL_SCRIPT is the script; the others are what it can ask for. */
export type AgentFiles = Readonly<Record<string, string>>;

export const INSTALL_SCRIPT = 'install.sh';

interface File {
  readonly bytes: Buffer;
  /** Hex. */
  readonly sha256: string;
  readonly changed: number;
}

export function registerAgentSetup(app: FastifyInstance, files: AgentFiles): void {
  const read = createReader();

  app.get('/gateway/v1/install.sh', async (request, reply) => {
    const script = await read(files[INSTALL_SCRIPT]);
    if (!script) throw new LeonoreError('route.unknown', 'this node was started without the files of agents');
    const names = Object.keys(files).filter((name) => name !== INSTALL_SCRIPT);
    const sums = await Promise.all(names.map(async (name) => ({ name, sha256: (await read(files[name]))?.sha256 })));
    const text = script.bytes
      .toString()
      .replaceAll('@SERVER@', originOf(request))
      .replace('@SUMS@', sums.flatMap(({ name, sha256 }) => (sha256 ? [`${sha256} ${name}`] : [])).join('\n'));
    return send(request, reply, { bytes: Buffer.from(text), sha256: sha256Of(text) });
  });

  app.get('/gateway/v1/agent/:name', async (request, reply) => {
    const { name } = request.params as { name: string };
    const path = name !== INSTALL_SCRIPT && Object.hasOwn(files, name) ? files[name] : undefined;
    const file = await read(path);
    if (!file) {
      const what = path === undefined ? `there is no file ${name} for agents` : `${name} was not built on this node`;
      throw new LeonoreError('route.unknown', path === undefined ? what : `${what}; run there: npm run build:agent`);
    }
    return send(request, reply, file);
  });
}

function send(request: FastifyRequest, reply: FastifyReply, { bytes, sha256 }: Pick<File, 'bytes' | 'sha256'>) {
  const tag = `"${sha256}"`;
  // Ask each time; most often the answer is that nothing changed.
  void reply.header('etag', tag).header('cache-control', 'no-cache').header('x-content-type-options', 'nosniff');
  if (request.headers['if-none-match'] === tag) return reply.code(304).send();
  return reply.type('text/plain; charset=utf-8').send(bytes);
}

/** As gateways are to reach this node: as this one did. It becomes a part of a shell script. @throws LeonoreError `request.invalid` */
function originOf(request: FastifyRequest): string {
  const origin = `${request.protocol}://${request.host}`;
  if (/^https?:\/\/[A-Za-z0-9._:[\]-]+$/.test(origin)) return origin;
  throw new LeonoreError('request.invalid', 'the Host header is no host with or without a port');
}

/** Undefined when it is not there. */
function createReader(): (path: string | undefined) => Promise<File | undefined> {
  const known = new Map<string, File>();
  return async (path) => {
    if (path === undefined) return undefined;
    const { mtimeMs: changed } = (await stat(path).catch(() => undefined)) ?? {};
    if (changed === undefined) return undefined;
    const before = known.get(path);
    if (before?.changed === changed) return before;
    const bytes = await readFile(path);
    const file = { bytes, sha256: sha256Of(bytes), changed };
    known.set(path, file);
    return file;
  };
}

function sha256Of(bytes: Buffer | string): string {
  return createHash('sha256').update(bytes).digest('hex');
}
