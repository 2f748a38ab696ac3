/** The task document that pull and push share: DDI's deploymentBase. Pure. */
import {
  CHUNK_METADATA,
  LEONORE_PART,
  type DdiCancel,
  type DdiDeployment,
  type GatewayId,
  type TaskId,
  type Tenant,
} from '@leonore/protocol';
import type { TaskDelivery, TaskHistory } from './contract.ts';

export function packageFileName(delivery: Pick<TaskDelivery, 'package'>): string {
  const { id, encoding } = delivery.package.summary;
  return `${id}.tar.${encoding === 'gzip' ? 'gz' : 'zst'}`;
}

/** Where a gateway downloads: the tenant in upper case, as Zephyr looks for `/DEFAULT/controller/v1`. The module's id is the task's. */
export function packageUrl(
  baseUrl: string,
  tenant: Tenant,
  gateway: GatewayId,
  delivery: Pick<TaskDelivery, 'task' | 'package'>,
): string {
  const base = `${baseUrl}/${tenant.toUpperCase()}/controller/v1/${encodeURIComponent(gateway)}`;
  return `${base}/softwaremodules/${delivery.task}/artifacts/${encodeURIComponent(packageFileName(delivery))}`;
}

export function deploymentDocument(
  baseUrl: string,
  tenant: Tenant,
  gateway: GatewayId,
  delivery: TaskDelivery,
  history?: TaskHistory,
): DdiDeployment {
  const { summary, manifest } = delivery.package;
  const url = packageUrl(baseUrl, tenant, gateway, delivery);
  return {
    id: String(delivery.task),
    deployment: {
      download: 'forced',
      update: 'forced',
      chunks: [
        {
          part: LEONORE_PART,
          version: summary.id,
          name: manifest.components.map(({ name, version }) => `${name} ${version}`).join(', ') || 'removal',
          artifacts: [
            {
              filename: packageFileName(delivery),
              hashes: delivery.hashes,
              size: summary.size,
              _links: { 'download-http': { href: url }, 'md5sum-http': { href: `${url}.MD5SUM` } },
            },
          ],
          metadata: [
            { key: CHUNK_METADATA.packageId, value: summary.id },
            { key: CHUNK_METADATA.gatewayClass, value: summary.gatewayClass },
            { key: CHUNK_METADATA.sequence, value: String(delivery.task) },
            { key: CHUNK_METADATA.expires, value: String(delivery.expiresAt) },
            { key: CHUNK_METADATA.encoding, value: summary.encoding },
            { key: CHUNK_METADATA.headerSha256, value: summary.sha256 },
            { key: CHUNK_METADATA.headerSize, value: String(summary.headerSize) },
          ],
        },
      ],
    },
    ...(history && history.messages.length > 0
      ? { actionHistory: { status: history.status, messages: [...history.messages] } }
      : {}),
  };
}

export function cancelDocument(task: TaskId): DdiCancel {
  return { id: String(task), cancelAction: { stopId: String(task) } };
}
