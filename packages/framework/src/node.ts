/**
 * One LEONORE node: the composition root, the only place that wires rooms together. It opens what it needs, starts it in
 * the order of the data, and takes it down the other way round.
 */
import { randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { DEFAULT_TENANT } from '@leonore/protocol';
import { pino, type Logger } from 'pino';
import { createHttpServer } from './api/mod.ts';
import { createEventBus } from './events/mod.ts';
import { createBroker, type Broker } from './gateway-handler/mod.ts';
import { createGatewayManagement, hashToken, newToken } from './gateway-management/mod.ts';
import { createByteCache, createPackageBuilder } from './package-builder/mod.ts';
import { createPackageManagement, createStaleUploadWatch } from './package-management/mod.ts';
import { createProvisioningHandler } from './provisioning-handler/mod.ts';
import { openFileBlobs, openRepositories } from './repositories/mod.ts';

export interface NodeOptions {
  /** Folder for the database, blobs and keys; made when missing. */
  readonly dataDir: string;
  readonly http: { readonly host: string; readonly port: number };
  /** Absent: no push. */
  readonly mqtt?: { readonly host: string; readonly port: number };
  /** postgres://... instead of the SQLite file in `dataDir`. */
  readonly databaseUrl?: string;
  readonly logLevel?: string;
  /** What gateways are told to reach this node by, when it is not the address it listens on. */
  readonly publicUrl?: string;
  /** Seconds between polls of a gateway that asks for none itself. */
  readonly pollIntervalSeconds?: number;
  /** Largest segment that may be uploaded, bytes. */
  readonly maxSegmentSize?: number;
  /** DDI's GatewayToken: lets unknown gateways come in by themselves. */
  readonly gatewayToken?: string;
  readonly trustProxy?: boolean;
  /** How often deadlines are looked at, milliseconds. */
  readonly deadlineIntervalMs?: number;
}

export interface LeonoreNode extends AsyncDisposable {
  readonly httpUrl: string;
  readonly mqttUrl?: string;
  readonly adminToken: string;
  readonly adminTokenFile: string;
}

export const VERSION = '0.1.0';
const MIB = 2 ** 20;
const HOUR_MS = 3_600_000;

export async function startNode(options: NodeOptions): Promise<LeonoreNode> {
  await using stack = new AsyncDisposableStack();
  const { dataDir } = options;
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const log = createLog(options.logLevel ?? 'info');
  const onError = (error: unknown) => log.error({ err: error }, 'something went wrong in the background');
  const now = () => Date.now();
  const name = await persistent(join(dataDir, 'node-id'), () => randomUUID());
  const adminTokenFile = join(dataDir, 'admin-token');
  const adminToken = await persistent(adminTokenFile, () => newToken(24));

  const repositories = stack.use(await openRepositories(options.databaseUrl ?? join(dataDir, 'leonore.db')));
  const blobs = stack.use(await openFileBlobs({ dir: join(dataDir, 'blobs') }));
  await repositories.write((set) => set.gateways.clearConnections(name));

  stack.use(createStaleUploadWatch({ blobs, now, onError }, { maxAgeMs: 24 * HOUR_MS, intervalMs: HOUR_MS }));

  const events = createEventBus({ keep: 10_000 });
  const gateways = stack.use(
    createGatewayManagement(
      { repositories, now, onError },
      { gatewayToken: options.gatewayToken, livenessFlushIntervalMs: 2000 },
    ),
  );
  const packages = createPackageManagement(
    { repositories, blobs, now },
    { maxSegmentSize: options.maxSegmentSize ?? 1024 * MIB },
  );
  const cache = createByteCache({ maxBytes: 64 * MIB, maxItemBytes: 24 * MIB });
  const builder = createPackageBuilder({ repositories, blobs, cache, now });
  let broker: Broker | undefined;
  const provisioning = stack.use(
    createProvisioningHandler(
      { repositories, builder, gateways, events, push: () => broker, now, onError },
      {
        deadlineIntervalMs: options.deadlineIntervalMs ?? 1000,
        progressIntervalMs: 200,
        planningRetryMs: 5000,
        keptPlans: 10_000,
      },
    ),
  );

  const http = stack.use(
    await createHttpServer(
      {
        repositories,
        packages,
        builder,
        gateways,
        provisioning,
        events,
        log,
        tenant: DEFAULT_TENANT,
        adminTokenHash: hashToken(adminToken),
        mqttUrl: () => broker && reachable(broker.url, options.publicUrl),
        mqttConnections: () => broker?.connections ?? 0,
      },
      {
        ...options.http,
        version: VERSION,
        ddi: { pollIntervalSeconds: options.pollIntervalSeconds ?? 300, maxWaitSeconds: 60 },
        maxBodySize: 4 * MIB,
        trustProxy: options.trustProxy ?? false,
      },
    ),
  );
  if (options.mqtt) {
    broker = stack.use(
      await createBroker(
        { gateways, tasks: () => provisioning.gatewayTasks, log, onReady: provisioning.gatewayReady },
        {
          ...options.mqtt,
          node: name,
          baseUrl: () => options.publicUrl ?? reachable(http.url),
          connectTimeoutMs: 10_000,
          drainTimeoutMs: 10_000,
        },
      ),
    );
  }
  await provisioning.start();
  log.info({ http: http.url, mqtt: broker?.url, data: dataDir, version: VERSION }, 'the node is ready');

  const resources = stack.move();
  return {
    httpUrl: http.url,
    ...(broker === undefined ? {} : { mqttUrl: broker.url }),
    adminToken,
    adminTokenFile,
    async [Symbol.asyncDispose]() {
      log.info('the node is stopping');
      await resources.disposeAsync();
    },
  };
}

/**
 * What gateways are told: an address that means "every interface" here means nothing there, so the public address's host
 * stands in for it, or this machine's name.
 */
function reachable(url: string, publicUrl?: string): string {
  const address = new URL(url);
  if (address.hostname !== '0.0.0.0' && address.hostname !== '[::]') return url;
  address.hostname = publicUrl === undefined ? hostname() : new URL(publicUrl).hostname;
  return address.href.replace(/\/$/, '');
}

/** Structured logs on stderr, one JSON object a line. */
function createLog(level: string): Logger {
  return pino(
    { level, base: undefined, timestamp: pino.stdTimeFunctions.isoTime },
    pino.destination({ fd: 2, sync: false }),
  );
}

/** A small secret or name that is made once and kept: written beside and renamed, so it is never found half. */
async function persistent(file: string, make: () => string): Promise<string> {
  const known = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw error;
  });
  if (known.trim() !== '') return known.trim();
  const made = make();
  await writeFile(`${file}.new`, `${made}\n`, { mode: 0o600, flush: true });
  await rename(`${file}.new`, file);
  return made;
}
