/** What every route file gets. */
import type { Tenant } from '@leonore/protocol';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { FastifyBaseLogger, FastifyInstance, RawServerDefault } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import type { Logger } from 'pino';
import type { EventBus } from '../events/mod.ts';
import type { GatewayManagement } from '../gateway-management/mod.ts';
import type { Deltas, PackageBuilder, Sboms } from '../package-builder/mod.ts';
import type { PackageManagement, Store } from '../package-management/mod.ts';
import type { ProvisioningHandler } from '../provisioning-handler/mod.ts';
import type { Repositories } from '../repositories/mod.ts';

export interface ApiDeps {
  readonly repositories: Repositories;
  readonly packages: PackageManagement;
  readonly store: Store;
  readonly builder: PackageBuilder;
  readonly deltas: Pick<Deltas, 'bytes'>;
  readonly sboms: Sboms;
  readonly gateways: GatewayManagement;
  readonly provisioning: ProvisioningHandler;
  readonly events: EventBus;
  readonly log: Logger;
  /** Aborted when the node stops: whoever is held waiting is let go. */
  readonly stopping: AbortSignal;
  /** The tenant that the request's operator acts in. */
  readonly tenantOf: (request: object) => Tenant;
}

export type App = FastifyInstance<
  RawServerDefault,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  ZodTypeProvider
>;
