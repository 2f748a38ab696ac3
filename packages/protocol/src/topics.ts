/** MQTT topics: `leonore/v1/{tenant}/gateways/{id}/{channel}`. Ids that MQTT cannot carry are percent-encoded. */
import { gatewayIdSchema, tenantSchema, type GatewayId, type Tenant } from './ids.ts';

export const CHANNELS = ['task', 'report', 'profile', 'presence'] as const;
export type Channel = (typeof CHANNELS)[number];

const ROOT = 'leonore/v1';

/** Letters, digits, `.`, `_`, `-` stay; every other byte becomes %XX, so that no `/`, `+`, `#`, `$` reaches a topic. */
export function encodeTopicLevel(id: string): string {
  return encodeURIComponent(id).replaceAll(/[!'()*~]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
}

export function gatewayTopic(tenant: Tenant, id: GatewayId, channel: Channel): string {
  return `${ROOT}/${tenant}/gateways/${encodeTopicLevel(id)}/${channel}`;
}

/** Reads a gateway topic back; undefined when it is none. */
export function parseGatewayTopic(topic: string): { tenant: Tenant; id: GatewayId; channel: Channel } | undefined {
  const match = /^leonore\/v1\/([^/]+)\/gateways\/([^/]+)\/([a-z]+)$/.exec(topic);
  const channel = CHANNELS.find((known) => known === match?.[3]);
  if (!match || !channel) return undefined;
  const id = gatewayIdSchema.safeParse(decode(match[2] ?? ''));
  const tenant = tenantSchema.safeParse(match[1]);
  if (!id.success || !tenant.success || gatewayTopic(tenant.data, id.data, channel) !== topic) return undefined;
  return { tenant: tenant.data, id: id.data, channel };
}

function decode(level: string): string {
  try {
    return decodeURIComponent(level);
  } catch {
    return '';
  }
}
