import assert from 'node:assert/strict';
import { request, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { it } from 'node:test';
import { DEFAULT_TENANT } from '@leonore/protocol';
import fastify from 'fastify';
import { createEventBus } from '../../events/mod.ts';
import type { ApiDeps } from '../route.ts';
import { eventRoutes } from './events.ts';

it('a watcher that still reads when the node stops does not take the node with it', async () => {
  const app = fastify();
  const events = createEventBus({ keep: 10 });
  const stopping = new AbortController();
  const deps: Pick<ApiDeps, 'events' | 'stopping' | 'tenantOf'> = {
    events,
    stopping: stopping.signal,
    tenantOf: () => DEFAULT_TENANT,
  };
  eventRoutes(app, deps as ApiDeps);
  await app.listen({ host: '127.0.0.1', port: 0 });
  const { port } = app.server.address() as AddressInfo;
  const watcher = await new Promise<IncomingMessage>((resolve, reject) => {
    request({ port, path: '/api/v1/events' }, resolve).once('error', reject).end();
  });
  const text = new Response(watcher).text();
  const gateway = (id: string) => events.publish(DEFAULT_TENANT, { type: 'gateway', gateway: { id, connected: true } });
  gateway('before');
  stopping.abort();
  // The end is on its way out; what is said now comes after it.
  gateway('after');
  const seen = await text;
  assert.match(seen, /before/);
  assert.doesNotMatch(seen, /after/);
  await app.close();
});
