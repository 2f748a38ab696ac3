/** The node's one HTTP server: the user-facing API, the gateways' addresses, package bytes, health, metrics. */
import type { AddressInfo } from 'node:net';
import fastifySwagger from '@fastify/swagger';
import { LeonoreError, sha256Schema, type Tenant } from '@leonore/protocol';
import scalar from '@scalar/fastify-api-reference';
import fastify, { LogController, type FastifyBaseLogger } from 'fastify';
import {
  jsonSchemaTransform,
  jsonSchemaTransformObject,
  validatorCompiler,
  type ZodTypeProvider,
} from 'fastify-type-provider-zod';
import { z } from 'zod';
import { type AgentFiles, registerAgentSetup } from '../agent-setup/mod.ts';
import {
  createRateLimit,
  networks,
  registerDdi,
  registerGatewayApi,
  sendPackage,
  type DdiOptions,
  type RateLimits,
} from '../gateway-handler/mod.ts';
import type { Deltas } from '../package-builder/mod.ts';
import { createOperatorAuth } from './auth.ts';
import { registerErrorHandling } from './errors.ts';
import { createMetrics } from './metrics.ts';
import type { ApiDeps } from './route.ts';
import { artifactRoutes } from './routes/artifacts.ts';
import { eventRoutes } from './routes/events.ts';
import { gatewayRoutes } from './routes/gateways.ts';
import { graphRoutes } from './routes/graph.ts';
import { packageDescriptionRoutes } from './routes/packages-describe.ts';
import { packageRoutes } from './routes/packages.ts';
import { rolloutRoutes } from './routes/rollouts.ts';
import { storeRoutes } from './routes/store.ts';
import { tokenRoutes } from './routes/tokens.ts';
import { uploadRoutes } from './routes/uploads.ts';

export interface HttpServerDeps extends Omit<ApiDeps, 'stopping' | 'tenantOf'> {
  readonly deltas: Pick<Deltas, 'bytes' | 'open' | 'counts'>;
  /** The tenants that are served, each with the hex SHA-256 of its operators' token. */
  readonly adminTokenHashes: ReadonlyMap<Tenant, string>;
  readonly mqttUrl: () => string | undefined;
  readonly coapUrl: () => string | undefined;
  readonly mqttConnections: () => number;
}

export interface HttpServerOptions {
  readonly host: string;
  readonly port: number;
  readonly version: string;
  readonly ddi: Pick<DdiOptions, 'pollIntervalSeconds' | 'maxWaitSeconds'>;
  /** Bodies of JSON calls, bytes. */
  readonly maxBodySize: number;
  /** Whose X-Forwarded-* are believed: addresses and networks of proxies in front, or true for anybody's. */
  readonly trustProxy: true | readonly string[];
  /** What is handed to machines that are to become gateways. */
  readonly agentFiles: AgentFiles;
  /** How many requests gateways may make from one address. */
  readonly rateLimits: RateLimits;
}

export interface HttpServer extends AsyncDisposable {
  /** http://HOST:PORT */
  readonly url: string;
}

const MAX_DRAIN_MS = 25_000;

export async function createHttpServer(deps: HttpServerDeps, options: HttpServerOptions): Promise<HttpServer> {
  const stopping = new AbortController();
  const fastifyLog: FastifyBaseLogger = deps.log;
  const { trustProxy, rateLimits } = options;
  const proxies = trustProxy === true ? () => true : networks(trustProxy);
  const rateLimit = createRateLimit({ exempt: networks(rateLimits.exempt), now: Date.now }, rateLimits);
  const app = fastify({
    loggerInstance: fastifyLog,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: options.maxBodySize,
    trustProxy: trustProxy === true || (trustProxy.length > 0 && proxies),
    forceCloseConnections: 'idle',
    // Gateways of other makers have ids of up to 256 characters, each of which may be nine in a URL; too long is said in words.
    routerOptions: { maxParamLength: 8192, ignoreTrailingSlash: true },
    // Node looks for overdue connections every 30 seconds otherwise.
    http: { connectionsCheckingInterval: 1000, headersTimeout: 10_000 },
    requestTimeout: 0,
    connectionTimeout: 0,
    keepAliveTimeout: 120_000,
  }).withTypeProvider<ZodTypeProvider>();
  app.setValidatorCompiler(validatorCompiler);
  // Answers are made from our own records; they were checked when they came in.
  app.setSerializerCompiler(() => (data) => JSON.stringify(data));
  registerErrorHandling(app);
  // Bodies are JSON; fastify would take text as well.
  app.removeContentTypeParser('text/plain');
  const tenants = new Set(deps.adminTokenHashes.keys());
  const metrics = createMetrics(app, { ...deps, tenants });
  const auth = createOperatorAuth(deps.adminTokenHashes);

  await app.register(fastifySwagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'LEONORE',
        description:
          'Provisions application packages onto IoT gateways. Errors are problem+json (RFC 9457) with a stable `code`.',
        version: options.version,
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      components: {
        securitySchemes: { token: { type: 'http', scheme: 'bearer', description: 'The operator token.' } },
      },
      security: [{ token: [] }],
    },
    transform: jsonSchemaTransform,
    transformObject: jsonSchemaTransformObject,
  });
  await app.register(scalar, {
    routePrefix: '/api/docs',
    configuration: {
      url: '/api/v1/openapi.json',
      // A node is often where no internet is: nothing of its page may reach out, or invite to.
      withDefaultFonts: false,
      telemetry: false,
      showDeveloperTools: 'never',
      hideClientButton: true,
      agent: { disabled: true },
      mcp: { disabled: true },
    },
  });

  const probe = { hide: true } as const;
  app.get('/', { schema: probe }, (_request, reply) => reply.redirect('/api/docs'));
  app.get('/api/v1/openapi.json', { schema: probe }, () => app.swagger());
  app.get('/healthz', { schema: probe }, () => ({ status: 'ok' }));
  app.get('/readyz', { schema: probe }, async (_request, reply) => {
    if (stopping.signal.aborted) throw new LeonoreError('server.stopping', 'this node is shutting down');
    try {
      await deps.repositories.ping();
    } catch (error) {
      throw new LeonoreError('server.unreachable', 'the database does not answer', { cause: error });
    }
    return reply.send({ status: 'ready' });
  });
  app.get('/metrics', { schema: probe }, async (_request, reply) =>
    reply.type(metrics.contentType).send(await metrics.render()),
  );

  await app.register(async (api) => {
    api.addHook('onRequest', auth.requireOperator);
    const scope = api.withTypeProvider<ZodTypeProvider>();
    for (const routes of [
      uploadRoutes,
      artifactRoutes,
      packageRoutes,
      packageDescriptionRoutes,
      storeRoutes,
      gatewayRoutes,
      tokenRoutes,
      rolloutRoutes,
      graphRoutes,
      eventRoutes,
    ])
      routes(scope, { ...deps, tenantOf: auth.tenantOf, stopping: stopping.signal });
    scope.get('/api/v1/info', { schema: { tags: ['node'], summary: 'What this node is' } }, (request) => {
      const mqttUrl = deps.mqttUrl();
      return {
        name: 'leonore',
        version: options.version,
        tenant: auth.tenantOf(request),
        ...(mqttUrl === undefined ? {} : { mqttUrl }),
      };
    });
  });

  app.get(
    '/packages/:sha256',
    {
      schema: {
        tags: ['packages'],
        summary: "A package's bytes, named by the digest of its header",
        params: z.object({ sha256: sha256Schema }),
      },
      onRequest: auth.requireOperator,
    },
    async (request, reply) => {
      const { summary } = await deps.builder.findByDigest(request.params.sha256);
      const record = await deps.builder.find(auth.tenantOf(request), summary.id);
      const { fileName, sha256: etag } = record.summary;
      return sendPackage(deps.builder, request, reply, {
        record,
        etag,
        fileName,
        cacheControl: 'private, max-age=31536000, immutable',
      });
    },
  );

  await app.register(async (gatewayFacing) => {
    gatewayFacing.addHook('onRoute', (route) => {
      route.schema = { ...route.schema, hide: true };
    });
    gatewayFacing.addHook('onRequest', (request, _reply, done) => {
      if (rateLimit.take(request.ip, request.method)) return done();
      metrics.rateLimited();
      done(new LeonoreError('request.rate', `too many requests from ${request.ip} in this second; ask less often`));
    });
    registerGatewayApi(gatewayFacing, deps, {
      tenants,
      pollIntervalSeconds: options.ddi.pollIntervalSeconds,
      mqttUrl: deps.mqttUrl,
      coapUrl: deps.coapUrl,
    });
    registerAgentSetup(gatewayFacing, options.agentFiles);
    const { gateways, builder, deltas } = deps;
    await gatewayFacing.register(async (ddi) => {
      registerDdi(
        ddi,
        { tasks: deps.provisioning.gatewayTasks, gateways, builder, deltas, stopping: stopping.signal },
        {
          ...options.ddi,
          tenants,
          proxies,
          // Whoever may write any header may not be whoever he likes.
          tlsProxies: trustProxy === true ? () => false : proxies,
          mqttUrl: deps.mqttUrl,
          coapUrl: deps.coapUrl,
          onEarlyPoll(tenant, gateway, early) {
            metrics.earlyPoll();
            if (early === 1) deps.log.warn({ tenant, gateway }, 'a gateway polls far more often than it is told to');
          },
        },
      );
    });
  });

  await app.listen({ host: options.host, port: options.port });
  const { port } = app.server.address() as AddressInfo;
  return {
    url: `http://${options.host.includes(':') ? `[${options.host}]` : options.host}:${port}`,
    async [Symbol.asyncDispose]() {
      stopping.abort();
      // Downloads that are under way end first, within limits.
      const hard = setTimeout(() => app.server.closeAllConnections(), MAX_DRAIN_MS);
      await app.close();
      clearTimeout(hard);
    },
  };
}
