/** Branded ids. Parsed once at a boundary, trusted inside. */
import { z } from 'zod';

/** Lower-case inside LEONORE; hawkBit's DDI shows it in upper case and takes any case. */
export const tenantSchema = z
  .string()
  .transform((text) => text.toLowerCase())
  .pipe(
    z
      .string()
      .regex(/^[a-z0-9][a-z0-9-]{0,31}$/, 'a tenant is 1 to 32 of a-z, 0-9, - and starts with a letter or digit'),
  )
  .brand<'Tenant'>();
export type Tenant = z.infer<typeof tenantSchema>;
export const DEFAULT_TENANT = 'default' as Tenant;

/** Id of any gateway: what DDI allows (1 to 256 characters), so that gateways of other makers keep theirs. */
export const gatewayIdSchema = z
  .string()
  .min(1, 'a gateway id has at least 1 character')
  .max(256, 'a gateway id has at most 256 characters')
  .regex(/^[^\p{Cc}/]+$/u, 'a gateway id has no control characters and no slash')
  .refine((id) => id !== '.' && id !== '..', 'a gateway id is not "." or "..": these are no names in an address')
  .brand<'GatewayId'>();
export type GatewayId = z.infer<typeof gatewayIdSchema>;

const OWN_GATEWAY_ID = /^[a-z0-9][a-z0-9._-]{0,62}$/;
/** Id of a gateway that runs LEONORE's own agent: safe in topics, file names and host names. */
export const ownGatewayIdSchema = gatewayIdSchema.refine((id) => OWN_GATEWAY_ID.test(id), {
  message: 'a gateway id is 1 to 63 of a-z, 0-9, ".", "_", "-" and starts with a letter or digit',
});

const NAME = /^[a-z0-9]+(?:[._-][a-z0-9]+)*$/;
export const artifactNameSchema = z
  .string()
  .max(100, 'a name has at most 100 characters')
  .regex(NAME, 'a name is made of a-z, 0-9 and single ".", "_", "-" between them')
  .brand<'ArtifactName'>();
export type ArtifactName = z.infer<typeof artifactNameSchema>;

/** Lower-case hex SHA-256 (FIPS 180-4), 64 characters. */
export const sha256Schema = z
  .string()
  .regex(/^[0-9a-f]{64}$/, 'a SHA-256 is 64 lower-case hex digits')
  .brand<'Sha256'>();
export type Sha256 = z.infer<typeof sha256Schema>;

/** Names a composed package: `p-` and 32 hex digits of the SHA-256 of what it is made of. */
export const packageIdSchema = z
  .string()
  .regex(/^p-[0-9a-f]{32}$/, 'a package id is p- and 32 hex digits')
  .brand<'PackageId'>();
export type PackageId = z.infer<typeof packageIdSchema>;

/** Rollouts are counted from 1 for each tenant. */
export const rolloutIdSchema = z.coerce.number().int().min(1).max(2_147_483_647).brand<'RolloutId'>();
export type RolloutId = z.infer<typeof rolloutIdSchema>;

/** DDI's action id: 1 to 2^31-1, since SWUpdate and Zephyr read it into an int32. Rises over the whole node, never reused. */
export const taskIdSchema = z.coerce.number().int().min(1).max(2_147_483_647).brand<'TaskId'>();
export type TaskId = z.infer<typeof taskIdSchema>;

/** Milliseconds since 1970-01-01T00:00Z. */
export const timestampSchema = z.int().min(0);
