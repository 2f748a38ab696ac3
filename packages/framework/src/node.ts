/**
 * One LEONORE node: the composition root, the only place that wires rooms together. It opens what it needs, starts it in
 * the order of the data, and takes it down the other way round.
 */
import { randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { hostname, totalmem } from 'node:os';
import { join } from 'node:path';
import { MAX_DELTA_PAIR_BYTES } from '@leonore/app-package';
import { DEFAULT_TENANT, LeonoreError, type Tenant, tenantSchema } from '@leonore/protocol';
import { pino, type Logger } from 'pino';
import type { AgentFiles } from './agent-setup/mod.ts';
import { createHttpServer } from './api/mod.ts';
import { createSolverThread } from './dependency-management/mod.ts';
import { createEventBus } from './events/mod.ts';
import {
  createBroker,
  createCoapServer,
  PRIVATE_NETWORKS,
  pushOverAll,
  unlessElsewhere,
  type Broker,
  type CoapServer,
  type RateLimits,
} from './gateway-handler/mod.ts';
import { createGatewayManagement, hashToken, newToken } from './gateway-management/mod.ts';
import {
  createByteCache,
  createDeltaMaker,
  createDeltas,
  createFormats,
  createPackageBuilder,
  createSboms,
  type SwupdateOptions,
} from './package-builder/mod.ts';
import { createHousekeeping } from './housekeeping.ts';
import {
  type ArtifactLimits,
  createDiskWatch,
  createPackageManagement,
  createStore,
} from './package-management/mod.ts';
import { createProvisioningHandler } from './provisioning-handler/mod.ts';
import { openFileBlobs, openRepositories } from './repositories/mod.ts';

export interface NodeOptions {
  /** Folder for the database, blobs and keys; made when missing. */
  readonly dataDir: string;
  readonly http: { readonly host: string; readonly port: number };
  /** Absent: no push. */
  readonly mqtt?: { readonly host: string; readonly port: number };
  /** Absent: no CoAP. */
  readonly coap?: { readonly host: string; readonly port: number };
  /** postgres://... instead of the SQLite file in `dataDir`. */
  readonly databaseUrl?: string;
  readonly logLevel?: string;
  /** What gateways are told to reach this node by, when it is not the address it listens on. */
  readonly publicUrl?: string;
  /** The same for push, such as mqtts://node.example:8883 of what ends TLS in front of it. */
  readonly publicMqttUrl?: string;
  /** The same for CoAP, such as coap://node.example:5683. */
  readonly publicCoapUrl?: string;
  /** Seconds between polls of a gateway that asks for none itself. */
  readonly pollIntervalSeconds?: number;
  readonly limits?: Partial<ArtifactLimits>;
  /** Most that the store may hold, uploads under way included, bytes; no limit when absent. */
  readonly storeQuota?: number;
  /** Bytes of the disk under `dataDir` that the store leaves free. */
  readonly keepFree?: number;
  /** Disk for deltas, bytes; 0: none are made. */
  readonly deltaBudget?: number;
  /** Tenants that are served beside `default`, each with operators, gateways and artifacts of its own. */
  readonly tenants?: readonly string[];
  /** DDI's GatewayToken of a tenant: lets unknown gateways come in by themselves. */
  readonly gatewayTokens?: Readonly<Record<string, string>>;
  /** The agent for machines that are to become gateways: files by name, see agent-setup. Without: this node hands out none. */
  readonly agentFiles?: AgentFiles;
  /** How images for SWUpdate are signed; without a key none are made. */
  readonly swupdate?: SwupdateOptions;
  /** Authorities of a tenant whose certificates let gateways in, as a proxy of `trustProxy` says that it has checked them. */
  readonly gatewayAuthorities?: Readonly<Record<string, readonly string[]>>;
  /** Proxies in front whose X-Forwarded-* are believed, as addresses and networks; true: anybody's. */
  readonly trustProxy?: true | readonly string[];
  /** How many requests gateways may make from one address; what is absent is as hawkBit has it. */
  readonly rateLimits?: Partial<RateLimits>;
  /** How often deadlines are looked at, milliseconds. */
  readonly deadlineIntervalMs?: number;
}

export interface LeonoreNode extends AsyncDisposable {
  readonly httpUrl: string;
  readonly mqttUrl?: string;
  readonly coapUrl?: string;
  readonly adminToken: string;
  readonly adminTokenFile: string;
}

export const VERSION = '0.1.0';
const MIB = 2 ** 20;
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

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
  const adminTokenHashes = new Map([[DEFAULT_TENANT, hashToken(adminToken)]]);
  for (const tenant of (options.tenants ?? []).map(tenantOption)) {
    if (tenant === DEFAULT_TENANT) continue;
    const dir = join(dataDir, 'tenants', tenant);
    await mkdir(dir, { recursive: true, mode: 0o700 });
    adminTokenHashes.set(tenant, hashToken(await persistent(join(dir, 'admin-token'), () => newToken(24))));
  }
  const gatewayTokens = new Map(
    Object.entries(options.gatewayTokens ?? {}).map(([name, token]) => [tenantOption(name), token]),
  );

  const gatewayAuthorities = new Map(
    Object.entries(options.gatewayAuthorities ?? {}).map(([name, authorities]) => [tenantOption(name), authorities]),
  );
  if (gatewayAuthorities.size > 0 && !(Array.isArray(options.trustProxy) && options.trustProxy.length > 0))
    throw new LeonoreError(
      'config.invalid',
      'certificates are taken only on the word of a proxy that is known: name its address with --trust-proxy',
    );

  const repositories = stack.use(await openRepositories(options.databaseUrl ?? join(dataDir, 'leonore.db')));
  const blobs = stack.use(
    await openFileBlobs({
      dir: join(dataDir, 'blobs'),
      quota: options.storeQuota,
      keepFree: options.keepFree ?? 500 * MIB,
      onDamage: (damage) => log.error(damage, 'a blob is damaged or missing; leonore store verify names what needs it'),
      onDiskState: (disk) =>
        disk.state === 'ok'
          ? log.info(disk, 'the disk has room again')
          : log.warn(
              disk,
              disk.state === 'low' ? 'the disk is nearly full' : 'the disk is full, nothing more is taken',
            ),
    }),
  );
  stack.use(createDiskWatch({ blobs, onError }, { intervalMs: MINUTE_MS }));
  await repositories.write((set) => set.gateways.clearConnections(name));

  const events = createEventBus({ keep: 10_000 });
  const gateways = stack.use(
    createGatewayManagement(
      { repositories, now, onError },
      { gatewayTokens, gatewayAuthorities, livenessFlushIntervalMs: 2000 },
    ),
  );
  const packages = createPackageManagement(
    { repositories, blobs, now, onPublished: (tenant, artifact) => deltas.published(tenant, artifact) },
    { limits: options.limits },
  );
  const cache = createByteCache({ maxBytes: 64 * MIB, maxItemBytes: 24 * MIB });
  const formats = await createFormats(options.swupdate ?? {}, { now });
  const builder = createPackageBuilder({ repositories, blobs, cache, now, formats });
  const deltas = stack.use(
    createDeltas(
      { repositories, blobs, maker: createDeltaMaker(), now, onError },
      {
        budgetBytes: options.deltaBudget ?? 2048 * MIB,
        // The making takes several times as much memory as the two tars.
        maxPairBytes: Math.min(MAX_DELTA_PAIR_BYTES, totalmem() / 16),
      },
    ),
  );
  stack.use(
    createHousekeeping(
      [
        { name: 'uploads', run: () => blobs.tidy(now() - DAY_MS) },
        { name: 'packages', run: (signal) => builder.collect(signal) },
        { name: 'deltas', run: () => deltas.collect() },
        { name: 'blobs', run: () => packages.collect(now() - DAY_MS) },
      ],
      { onError },
      { intervalMs: HOUR_MS },
    ),
  );
  const store = createStore({
    repositories,
    blobs,
    now,
    async collect() {
      await blobs.tidy(now() - DAY_MS);
      const composed = await builder.collect();
      const made = await deltas.collect();
      const { blobs: segments, bytes } = await packages.collect(now() - DAY_MS);
      return { packages: composed.packages, deltas: made.deltas, segments, bytes: composed.bytes + made.bytes + bytes };
    },
  });
  const solver = stack.use(createSolverThread());
  let broker: Broker | undefined;
  let coap: CoapServer | undefined;
  const push = pushOverAll(() => [broker, coap].filter((way) => way !== undefined));
  const provisioning = stack.use(
    createProvisioningHandler(
      { repositories, builder, deltas, gateways, events, push: () => push, solver, now, onError },
      {
        deadlineIntervalMs: options.deadlineIntervalMs ?? 1000,
        progressIntervalMs: 200,
        planningRetryMs: 5000,
        keptPlans: 10_000,
      },
    ),
  );

  const { pollIntervalSeconds = 300 } = options;
  const http = stack.use(
    await createHttpServer(
      {
        repositories,
        packages,
        store,
        builder,
        deltas,
        sboms: createSboms({ artifacts: repositories.read.artifacts, now }, { version: VERSION }),
        gateways,
        provisioning,
        events,
        log,
        adminTokenHashes,
        mqttUrl: () => broker && (options.publicMqttUrl ?? reachable(broker.url, options.publicUrl)),
        coapUrl: () => coap && (options.publicCoapUrl ?? reachable(coap.url, options.publicUrl)),
        mqttConnections: () => broker?.connections ?? 0,
      },
      {
        ...options.http,
        version: VERSION,
        agentFiles: options.agentFiles ?? {},
        ddi: { pollIntervalSeconds, maxWaitSeconds: 60 },
        maxBodySize: 4 * MIB,
        trustProxy: options.trustProxy ?? [],
        rateLimits: { reads: 200, writes: 50, exempt: PRIVATE_NETWORKS, ...options.rateLimits },
      },
    ),
  );
  const pushing = { tasks: () => provisioning.gatewayTasks, log, onReady: provisioning.gatewayReady };
  const here = {
    node: name,
    tenants: new Set(adminTokenHashes.keys()),
    baseUrl: () => options.publicUrl ?? reachable(http.url),
  };
  if (options.mqtt) {
    broker = stack.use(
      await createBroker(
        { ...pushing, gateways: unlessElsewhere(gateways, () => coap) },
        {
          ...options.mqtt,
          ...here,
          connectTimeoutMs: 10_000,
          drainTimeoutMs: 10_000,
        },
      ),
    );
  }
  if (options.coap) {
    coap = stack.use(
      await createCoapServer(
        { ...pushing, gateways: unlessElsewhere(gateways, () => broker), builder, deltas },
        { ...options.coap, ...here, pollIntervalSeconds },
      ),
    );
  }
  await provisioning.start();
  log.info(
    { http: http.url, mqtt: broker?.url, coap: coap?.url, data: dataDir, version: VERSION },
    'the node is ready',
  );

  const resources = stack.move();
  return {
    httpUrl: http.url,
    ...(broker === undefined ? {} : { mqttUrl: broker.url }),
    ...(coap === undefined ? {} : { coapUrl: coap.url }),
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

function tenantOption(name: string): Tenant {
  const tenant = tenantSchema.safeParse(name);
  if (tenant.success) return tenant.data;
  throw new LeonoreError('config.invalid', `tenant "${name}": ${tenant.error.issues[0]?.message}`);
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
