import type { NumberedEvent } from '../../events/mod.ts';
import type { ApiDeps, App } from '../route.ts';

const KEEP_ALIVE_MS = 15_000;
/** A watcher that lets this much pile up is cut off; it comes back with Last-Event-ID and goes on, or starts anew. */
const MAX_BUFFERED_BYTES = 4 * 1024 * 1024;

/** Server-sent events (WHATWG HTML, 9.2): rollouts, tasks and gateways as they change. */
export function eventRoutes(app: App, { events, stopping, tenantOf }: ApiDeps): void {
  app.get(
    '/api/v1/events',
    {
      schema: {
        tags: ['events'],
        summary: 'Changes as they happen (server-sent events)',
        description:
          'Event types are `gateway`, `rollout`, `task` and `reset`; data is the schema Event. `Last-Event-ID` resumes; `reset` says that events were lost.',
        produces: ['text/event-stream'],
      },
      exposeHeadRoute: false,
    },
    (request, reply) => {
      reply.hijack();
      const { raw } = reply;
      raw.writeHead(200, {
        'content-type': 'text/event-stream',
        'cache-control': 'no-store',
        'x-accel-buffering': 'no',
      });
      raw.write('retry: 1000\n\n');
      const send = ({ id, event }: NumberedEvent) => {
        if (raw.writableLength > MAX_BUFFERED_BYTES) raw.destroy();
        // A write after the end would be an error event that nobody hears: the end of the node.
        else if (!raw.writableEnded) raw.write(`event: ${event.type}\nid: ${id}\ndata: ${JSON.stringify(event)}\n\n`);
      };
      const lastId = Number(request.headers['last-event-id']);
      const unsubscribe = events.subscribe(
        tenantOf(request),
        send,
        Number.isSafeInteger(lastId) && lastId > 0 ? lastId : undefined,
      );
      const keepAlive = setInterval(() => {
        if (!raw.writableEnded) raw.write(': still here\n\n');
      }, KEEP_ALIVE_MS);
      const end = () => raw.end();
      stopping.addEventListener('abort', end, { once: true });
      raw.once('close', () => {
        stopping.removeEventListener('abort', end);
        clearInterval(keepAlive);
        unsubscribe();
      });
    },
  );
}
