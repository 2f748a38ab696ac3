/**
 * Who this gateway is. The secret is made here and kept on disk before anybody is told of it, so that an answer lost
 * on the way can be asked for again; enrolment is tried until the server has said yes or a clear no.
 */
import { randomBytes } from 'node:crypto';
import { type GatewayProfile, LeonoreError, ownGatewayIdSchema, tenantSchema } from '@leonore/protocol';
import { z } from 'zod';
import {
  type Clock,
  createBackoff,
  enrol,
  errorText,
  type HttpClient,
  isPassing,
  type Logger,
  MAX_BACKOFF_MS,
  retryAfterMs,
  type ServerAddresses,
  systemClock,
} from '../connectivity/mod.ts';
import { readDurable, writeDurable } from './durable-file.ts';

const identitySchema = z.object({
  server: z.string(),
  id: ownGatewayIdSchema,
  secret: z.string().regex(/^[0-9a-f]{64}$/),
  /** What the server said; absent until it has. */
  enrolled: z
    .object({
      tenant: tenantSchema,
      ddiUrl: z.string(),
      mqttUrl: z.string().optional(),
      coapUrl: z.string().optional(),
      pollIntervalSeconds: z.number(),
    })
    .optional(),
});
type IdentityFile = z.infer<typeof identitySchema>;
export type Identity = Omit<IdentityFile, 'enrolled'> &
  NonNullable<IdentityFile['enrolled']> & {
    /** Enrolled just now, not by a former run. */
    readonly isNew: boolean;
  };

export interface IdentityOptions {
  readonly file: string;
  readonly server: string;
  readonly id: string;
  readonly token: string | undefined;
  readonly client: HttpClient;
  readonly profile: () => Promise<GatewayProfile>;
  readonly logger: Logger;
  readonly backoff?: { readonly initialMs: number; readonly maxMs: number };
  readonly clock?: Clock | undefined;
}

/** From disk, or by enrolment. @throws LeonoreError with what to do when the server refuses or there is no token. */
export async function becomeSomebody(options: IdentityOptions, signal: AbortSignal): Promise<Identity> {
  const { file, logger } = options;
  let own = await loadOrMake(options);
  if (own.server !== options.server) {
    logger.info('the server has another address than before', { before: own.server, now: options.server });
    own = { ...own, server: options.server };
    await writeDurable(file, own);
  }
  if (own.enrolled) return { ...own, ...own.enrolled, isNew: false };
  if (options.token === undefined) {
    throw new LeonoreError(
      'auth.missing',
      `gateway ${own.id} is not enrolled yet: pass an enrolment token with --token (make one with \`leonore gateway token create\`)`,
    );
  }
  const backoff = createBackoff({ initialMs: 1000, maxMs: MAX_BACKOFF_MS, ...options.backoff });
  for (;;) {
    try {
      const answer = await enrol({
        server: own.server,
        client: options.client,
        token: options.token,
        id: own.id,
        secret: own.secret,
        profile: await options.profile(),
        signal,
      });
      const { ddiUrl, mqttUrl, coapUrl, pollIntervalSeconds } = answer;
      const enrolled = {
        tenant: tenantSchema.parse(answer.tenant),
        ddiUrl,
        ...(mqttUrl === undefined ? {} : { mqttUrl }),
        ...(coapUrl === undefined ? {} : { coapUrl }),
        pollIntervalSeconds,
      };
      await writeDurable(file, { ...own, enrolled });
      logger.info('enrolled', { id: own.id, tenant: enrolled.tenant });
      return { ...own, ...enrolled, isNew: true };
    } catch (error) {
      signal.throwIfAborted();
      if (!isPassing(error)) throw refused(own.id, error);
      const delayMs = backoff.next(retryAfterMs(error));
      logger.warn('cannot enrol yet; trying again', { error: errorText(error), inMs: Math.round(delayMs) });
      await (options.clock ?? systemClock).sleep(delayMs, signal);
    }
  }
}

/** The server says that it is reached elsewhere from now on. */
export async function rememberAddresses(file: string, addresses: ServerAddresses): Promise<void> {
  const own = (await readDurable(file, identitySchema))?.value;
  if (own?.enrolled) await writeDurable(file, { ...own, enrolled: { ...own.enrolled, ...addresses } });
}

async function loadOrMake(options: IdentityOptions): Promise<IdentityFile> {
  const found = await readDurable(options.file, identitySchema);
  if (found) {
    if (found.healed) {
      options.logger.warn('identity.json was damaged; its previous copy is used');
      await writeDurable(options.file, found.value);
    }
    if (found.value.id === options.id) return found.value;
    throw new LeonoreError(
      'config.invalid',
      `this folder belongs to gateway ${found.value.id}; use --id ${found.value.id}, or another --root for ${options.id}`,
    );
  }
  const id = ownGatewayIdSchema.safeParse(options.id);
  if (!id.success) {
    throw new LeonoreError('config.invalid', `"${options.id}" cannot be used: ${id.error.issues[0]?.message ?? ''}`);
  }
  const made = { server: options.server, id: id.data, secret: randomBytes(32).toString('hex') };
  await writeDurable(options.file, made);
  return made;
}

function refused(id: string, error: unknown): LeonoreError {
  const code = error instanceof LeonoreError ? error.code : 'server.internal';
  const advice =
    code === 'gateway.taken'
      ? `; another gateway has this id, or this folder was emptied: choose another --id or remove the old one with \`leonore gateway remove ${id}\``
      : code === 'token.invalid' || code === 'auth.wrong'
        ? '; make a new token with `leonore gateway token create`'
        : '';
  return new LeonoreError(code, `the server did not enrol gateway ${id}: ${errorText(error)}${advice}`, {
    cause: error,
  });
}
