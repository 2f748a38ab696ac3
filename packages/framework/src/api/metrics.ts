/** /metrics in Prometheus' text format: requests by route, tasks by state as they end, connections, and the process itself. */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from '@prometheus-io/client';
import type { FastifyInstance } from 'fastify';
import type { EventBus } from '../events/mod.ts';
import type { Tenant } from '@leonore/protocol';

export function createMetrics(
  app: FastifyInstance,
  deps: { events: EventBus; tenant: Tenant; mqttConnections: () => number },
): { contentType: string; render: () => Promise<string> } {
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

  app.addHook('onResponse', (request, reply, done) => {
    const labels = {
      route: request.routeOptions.url ?? 'unknown',
      method: request.method,
      status: `${Math.floor(reply.statusCode / 100)}xx`,
    };
    requests.observe(labels, reply.elapsedTime / 1000);
    done();
  });
  deps.events.subscribe(deps.tenant, ({ event }) => {
    if (event.type === 'task') tasks.inc({ state: event.task.state });
  });

  return {
    contentType: register.contentType,
    render() {
      connections.set(deps.mqttConnections());
      return register.metrics();
    },
  };
}
