/** The one place where errors become HTTP answers: problem+json for people and tools, hawkBit's form for DDI clients. */
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { isLeonoreError, LeonoreError, PROBLEM_MEDIA_TYPE, toProblem } from '@leonore/protocol';
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

export function registerErrorHandling(app: FastifyInstance): void {
  app.setErrorHandler(async (error: unknown, request, reply) => {
    const translated = translate(error);
    // Whoever still sends does not read: it would see a broken pipe instead of the words.
    if (translated.status === 413) await drain(request.raw);
    return send(translated, request, reply, error);
  });
  app.setNotFoundHandler((request, reply) => {
    // A path that other methods know is another mistake than a path that nobody knows.
    const known = (['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const).filter(
      (method) => method !== request.method && app.findRoute({ method, url: request.url.split('?')[0] ?? '' }) !== null,
    );
    const path = request.url.split('?')[0];
    const error =
      known.length > 0
        ? new LeonoreError('request.method', `${path} does not know ${request.method}; it knows ${known.join(', ')}`)
        : new LeonoreError('route.unknown', `there is nothing at ${path}; /api/docs shows what there is`);
    return send(error, request, reply);
  });
}

const MAX_DRAINED_BYTES = 64 * 1024 * 1024;
const MAX_DRAIN_MS = 10_000;

/** Takes in and forgets what is left of a body, within limits. */
async function drain(body: IncomingMessage): Promise<void> {
  let bytes = 0;
  const stop = AbortSignal.timeout(MAX_DRAIN_MS);
  while (!body.readableEnded && !body.destroyed && !stop.aborted && bytes < MAX_DRAINED_BYTES) {
    const chunk: unknown = body.read();
    if (chunk instanceof Uint8Array) bytes += chunk.length;
    else await Promise.race([once(body, 'readable'), once(body, 'end'), once(body, 'close'), once(stop, 'abort')]);
  }
}

function translate(error: unknown): LeonoreError {
  if (isLeonoreError(error)) return error;
  const fault = error as Partial<FastifyError>;
  if (fault.validation) {
    const faults = fault.validation.map(
      ({ instancePath, message }) =>
        `${instancePath.replace(/^\//, '').replaceAll('/', '.') || 'the body'}: ${message}`,
    );
    return new LeonoreError('request.invalid', `${fault.validationContext ?? 'request'}: ${faults.join('; ')}`, {
      details: { faults },
    });
  }
  if (fault.code === 'FST_ERR_CTP_BODY_TOO_LARGE') {
    return new LeonoreError('request.too-large', 'the body is larger than this call takes');
  }
  if (fault.code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') {
    return new LeonoreError('request.media-type', 'this call does not take that content type; send application/json');
  }
  if (fault.code === 'FST_ERR_CTP_EMPTY_JSON_BODY' || fault.code === 'FST_ERR_CTP_INVALID_JSON_BODY') {
    return new LeonoreError('request.json', `the body cannot be read as JSON: ${fault.message}`);
  }
  if (error instanceof SyntaxError && fault.statusCode === 400) {
    return new LeonoreError('request.json', `the body cannot be read as JSON: ${error.message}`);
  }
  if (fault.statusCode !== undefined && fault.statusCode >= 400 && fault.statusCode < 500) {
    return new LeonoreError('request.invalid', fault.message ?? 'the request cannot be read');
  }
  return new LeonoreError('server.internal', 'something went wrong inside; the log of the node says more', {
    cause: error,
  });
}

function send(error: LeonoreError, request: FastifyRequest, reply: FastifyReply, original?: unknown): FastifyReply {
  if (error.status >= 500) request.log.error({ err: original ?? error, code: error.code }, 'a request failed');
  if (error.retryable && error.status >= 429) reply.header('retry-after', '5');
  reply.code(error.status);
  if (/^\/[^/]+\/controller\/v1\//.test(request.url)) {
    const body = { exceptionClass: error.name, errorCode: `leonore.error.${error.code}`, message: error.message };
    return reply.header('content-type', 'application/json;charset=UTF-8').send(JSON.stringify(body));
  }
  return reply.header('content-type', PROBLEM_MEDIA_TYPE).send(JSON.stringify(toProblem(error)));
}
