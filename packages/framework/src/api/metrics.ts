/** /metrics in Prometheus' text format: requests by route, tasks by state as they end, connections, and the process itself. */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from '@prometheus-io/client';
import type { FastifyInstance } from 'fastify';
import type { EventBus } from '../events/mod.ts';
import type { Deltas } from '../package-builder/mod.ts';
import type { Store } from '../package-management/mod.ts';
import type { Tenant } from '@leonore/protocol';

export function createMetrics(
  app: FastifyInstance,
  deps: {
    events: EventBus;
    tenants: Iterable<Tenant>;
    mqttConnections: () => number;
    store: Pick<Store, 'usage' | 'damages'>;
    deltas: Pick<Deltas, 'counts'>;
  },
): { contentType: string; render: () => Promise<string>; rateLimited: () => void; earlyPoll: () => void } {
  const register = new Registry();
  collectDefaultMetrics({ register });
  const requests = new Histogram({
    name: 'leonore_http_request_duration_seconds',
    help: 'Time to answer HTTP requests, by route, method and status class',
    labelNames: ['route', 'method', 'status'],
    buckets: [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60],
    registers: [register],
  });
  const tasks = new Counter({
    name: 'leonore_task_changes_total',
    help: 'Changes of tasks, by the state they came into',
    labelNames: ['state'],
    registers: [register],
  });
  const connections = new Gauge({
    name: 'leonore_mqtt_connections',
    help: 'Gateways connected for push',
  });
  register.registerMetric(connections);
  const store = {
    used: gauge('leonore_store_used_bytes', 'Bytes of blobs and of announced uploads'),
    quota: gauge('leonore_store_quota_bytes', "The store's limit; 0 without one"),
    free: gauge('leonore_store_free_bytes', 'Bytes free on the disk that holds the store'),
    state: gauge('leonore_store_state', 'How the disk is: 0 ok, 1 low, 2 full'),
    damaged: gauge('leonore_store_damaged', 'Blobs that are damaged or missing'),
  };

  const deltas = {
    made: counter('leonore_deltas_made_total', 'Deltas made and kept'),
    madeBytes: counter('leonore_delta_bytes_made_total', 'Bytes of deltas made and kept'),
    useless: counter('leonore_deltas_useless_total', 'Deltas that would not have saved enough'),
    failed: counter('leonore_deltas_failed_total', 'Deltas whose making failed'),
  };
  const rateLimited = counter(
    'leonore_rate_limited_requests_total',
    'Requests of gateways refused: too many from one address',
  );
  const earlyPolls = counter('leonore_early_polls_total', 'Polls far more often than the gateway was told to');
  const queuedDeltas = gauge('leonore_deltas_queued', 'Deltas that are being made or wait for it');

  function counter(name: string, help: string): Counter {
    return new Counter({ name, help, registers: [register] });
  }

  function countDeltas(): void {
    const { queued, ...counts } = deps.deltas.counts;
    queuedDeltas.set(queued);
    for (const name of ['made', 'madeBytes', 'useless', 'failed'] as const) {
      deltas[name].reset();
      deltas[name].inc(counts[name]);
    }
  }

  function gauge(name: string, help: string): Gauge {
    const made = new Gauge({ name, help });
    register.registerMetric(made);
    return made;
  }

  async function measureStore(): Promise<void> {
    const { blobs, uploads, quota, disk } = await deps.store.usage();
    store.used.set(blobs.bytes + uploads.bytes);
    store.quota.set(quota ?? 0);
    store.free.set(disk.free);
    store.state.set(['ok', 'low', 'full'].indexOf(disk.state));
    store.damaged.set((await deps.store.damages()).length);
  }

  app.addHook('onResponse', (request, reply, done) => {
    const labels = {
      route: request.routeOptions.url ?? 'unknown',
      method: request.method,
      status: `${Math.floor(reply.statusCode / 100)}xx`,
    };
    requests.observe(labels, reply.elapsedTime / 1000);
    done();
  });
  for (const tenant of deps.tenants) {
    deps.events.subscribe(tenant, ({ event }) => {
      if (event.type === 'task') tasks.inc({ state: event.task.state });
    });
  }

  return {
    contentType: register.contentType,
    rateLimited: () => rateLimited.inc(),
    earlyPoll: () => earlyPolls.inc(),
    async render() {
      connections.set(deps.mqttConnections());
      countDeltas();
      await measureStore();
      return register.metrics();
    },
  };
}
