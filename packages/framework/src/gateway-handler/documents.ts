/** The task document that pull and push share: DDI's deploymentBase. Pure. */
import {
  CHUNK_METADATA,
  isOlderVersion,
  LEONORE_PART,
  sha256Schema,
  type DdiCancel,
  type DdiDeployment,
  type DeltaOffer,
  type GatewayId,
  type Sha256,
  type TaskId,
  type Tenant,
} from '@leonore/protocol';
import type { TaskDelivery, TaskHistory } from './contract.ts';

/** Where a gateway downloads: the tenant in upper case, as Zephyr looks for `/DEFAULT/controller/v1`. The module's id is the task's. */
function fileUrl(baseUrl: string, tenant: Tenant, gateway: GatewayId, task: TaskId, fileName: string): string {
  const base = `${baseUrl}/${tenant.toUpperCase()}/controller/v1/${encodeURIComponent(gateway)}`;
  return `${base}/softwaremodules/${task}/artifacts/${encodeURIComponent(fileName)}`;
}

const DELTA_SUFFIX = '.delta.zst';

function deltaFileName(sha256: Sha256): string {
  return `${sha256}${DELTA_SUFFIX}`;
}

/** The digest of the delta whose file has this name; undefined when it is no delta's. */
export function deltaOfFileName(fileName: string): Sha256 | undefined {
  if (!fileName.endsWith(DELTA_SUFFIX)) return undefined;
  return sha256Schema.safeParse(fileName.slice(0, -DELTA_SUFFIX.length)).data;
}

export function deploymentDocument(
  baseUrl: string,
  tenant: Tenant,
  gateway: GatewayId,
  delivery: TaskDelivery,
  history?: TaskHistory,
): DdiDeployment {
  const { summary } = delivery.package;
  const urlOf = (fileName: string) => fileUrl(baseUrl, tenant, gateway, delivery.task, fileName);
  const url = urlOf(summary.fileName);
  const deltas = delivery.deltas.map((delta): DeltaOffer => ({ ...delta, href: urlOf(deltaFileName(delta.sha256)) }));
  return {
    id: String(delivery.task),
    deployment: {
      ...delivery.handling,
      chunks: [
        {
          ...moduleOf(delivery.package),
          artifacts: [
            {
              filename: delivery.package.summary.fileName,
              hashes: delivery.hashes,
              size: summary.size,
              _links: { 'download-http': { href: url }, 'md5sum-http': { href: `${url}.MD5SUM` } },
            },
          ],
          metadata: [
            { key: CHUNK_METADATA.packageId, value: summary.id },
            { key: CHUNK_METADATA.gatewayClass, value: summary.gatewayClass },
            { key: CHUNK_METADATA.gateway, value: gateway },
            { key: CHUNK_METADATA.sequence, value: String(delivery.task) },
            { key: CHUNK_METADATA.expires, value: String(delivery.expiresAt) },
            ...(summary.encoding === undefined ? [] : [{ key: CHUNK_METADATA.encoding, value: summary.encoding }]),
            { key: CHUNK_METADATA.headerSha256, value: summary.sha256 },
            { key: CHUNK_METADATA.headerSize, value: String(summary.headerSize) },
            ...(deltas.length === 0 ? [] : [{ key: CHUNK_METADATA.deltas, value: JSON.stringify(deltas) }]),
            ...downgradeOf(delivery.package),
          ],
        },
      ],
    },
    ...(history && history.messages.length > 0
      ? { actionHistory: { status: history.status, messages: [...history.messages] } }
      : {}),
  };
}

/** What goes down is meant to: the operator's ranges say so. A gateway takes an older version only with this. */
function downgradeOf({ manifest }: TaskDelivery['package']): { key: string; value: string }[] {
  const names = manifest.components
    .filter(({ version, replaces }) => replaces !== undefined && isOlderVersion(version, replaces))
    .map(({ name }) => name);
  return names.length === 0 ? [] : [{ key: CHUNK_METADATA.downgrade, value: JSON.stringify(names) }];
}

/** Types of software modules that DDI calls otherwise than hawkBit's operators do. */
const DDI_PARTS: Readonly<Record<string, string>> = { application: 'bApp', runtime: 'jvm' };

/** An image is the module that its maker knows; anything else is LEONORE's. */
function moduleOf({ summary, manifest }: TaskDelivery['package']): { part: string; version: string; name: string } {
  const [image] = manifest.components;
  if (manifest.part !== undefined && image) {
    const part = Object.hasOwn(DDI_PARTS, manifest.part) ? DDI_PARTS[manifest.part] : undefined;
    return { part: part ?? manifest.part, version: image.version, name: image.name };
  }
  const name = manifest.components.map((component) => `${component.name} ${component.version}`).join(', ');
  return { part: LEONORE_PART, version: summary.id, name: name || 'removal' };
}

export function cancelDocument(task: TaskId): DdiCancel {
  return { id: String(task), cancelAction: { stopId: String(task) } };
}
