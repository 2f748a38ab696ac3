/** An HTTP client that counts what goes through it. */
import type { HttpClient } from '@leonore/agent';
import type { GatewayTraffic } from './virtual-gateway.ts';

export function countingClient(client: HttpClient, traffic: GatewayTraffic): HttpClient {
  return {
    send(request) {
      traffic.requests += 1;
      return client.send(request);
    },
    [Symbol.dispose]: () => client[Symbol.dispose](),
  };
}
