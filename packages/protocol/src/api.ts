/** The other resources of the user-facing API (/api/v1): gateways, packages, tokens, events, pages. */
import { z } from 'zod';
import { encodingSchema, packageFormatSchema, platformSchema } from './artifact.ts';
import { gatewayIdSchema, packageIdSchema, sha256Schema, timestampSchema } from './ids.ts';
import { packageContentsSchema } from './package-manifest.ts';
import { applicationRequestSchema, resolutionSchema } from './plan.ts';
import { gatewayProfileSchema, labelsSchema } from './profile.ts';
import { rolloutSchema, taskSchema } from './rollout.ts';

/** One page of a list; `next` is the cursor of the page after it, absent on the last. */
export function pageSchema<T extends z.ZodType>(item: T) {
  return z.object({ items: z.array(item), next: z.string().optional() });
}
export interface Page<T> {
  readonly items: readonly T[];
  readonly next?: string | undefined;
}
export const pageQuerySchema = z.object({
  cursor: z.string().max(2048).optional(),
  limit: z.coerce.number().int().min(1).max(1000).default(100),
});

export const gatewaySchema = z
  .object({
    id: z.string(),
    profile: gatewayProfileSchema,
    /** Set by the operator. */
    labels: labelsSchema,
    /** Connected for push right now. */
    connected: z.boolean(),
    /** Last sign of life; absent when it never came. */
    lastSeenAt: timestampSchema.optional(),
    enrolledAt: timestampSchema,
    /** How often it polled in the present poll interval, when that is far too often; LEONORE's own agents decide themselves. */
    hastyPolls: z.int().optional(),
    /** What it shall have. */
    desired: z.array(applicationRequestSchema),
    /** The task it works on now. */
    task: taskSchema.optional(),
  })
  .meta({ id: 'Gateway' });
export type Gateway = z.infer<typeof gatewaySchema>;

/** Makes a gateway known before it comes, with the token it will use (DDI clients of other makers). */
export const createGatewaySchema = z
  .object({
    id: z.string(),
    /** 16 random bytes in hex are made when absent; 1 to 128 characters. */
    token: z.string().min(1).max(128).optional(),
    labels: labelsSchema.default({}),
    profile: gatewayProfileSchema.optional(),
  })
  .meta({ id: 'CreateGateway' });
export const createdGatewaySchema = z
  .object({ gateway: gatewaySchema, token: z.string() })
  .meta({ id: 'CreatedGateway' });

/** Labels as a merge patch: null takes one away. */
export const patchGatewaySchema = z
  .object({ labels: z.record(z.string(), z.string().nullable()) })
  .meta({ id: 'PatchGateway' });

export const createTokenSchema = z
  .object({
    /** How many gateways may enrol with it. */
    uses: z.int().min(1).max(100_000).default(1),
    /** Seconds it is good for. */
    ttlSeconds: z.int().min(1).max(31_536_000).default(86_400),
    /** Labels that each gateway gets that enrols with it. */
    labels: labelsSchema.default({}),
  })
  .meta({ id: 'CreateEnrolmentToken' });
export const enrolmentTokenSchema = z
  .object({
    id: z.string(),
    usesLeft: z.int(),
    labels: labelsSchema,
    createdAt: timestampSchema,
    expiresAt: timestampSchema,
    /** Only in the answer that makes it: it is kept as a hash. */
    token: z.string().optional(),
  })
  .meta({ id: 'EnrolmentToken' });
export type EnrolmentToken = z.infer<typeof enrolmentTokenSchema>;

export const packageSummarySchema = z
  .object({
    id: packageIdSchema,
    format: packageFormatSchema,
    /** Of LEONORE's own archives. */
    encoding: encodingSchema.optional(),
    fileName: z.string(),
    /** Of the header, which names the digest of every other byte, so it names the whole package; an image's own. */
    sha256: sha256Schema,
    /** Bytes as they go over the air. */
    size: z.int(),
    /** Bytes that no other package shares. */
    headerSize: z.int(),
    gatewayClass: z.string(),
    components: z.array(z.object({ name: z.string(), version: z.string() })),
    createdAt: timestampSchema,
  })
  .meta({ id: 'Package' });
export type PackageSummary = z.infer<typeof packageSummarySchema>;
export const packageDetailsSchema = packageSummarySchema
  .extend({ manifest: packageContentsSchema })
  .meta({ id: 'PackageDetails' });
export type PackageDetails = z.infer<typeof packageDetailsSchema>;

/** For one gateway, or for each class of those that a selector names. */
export const explainRequestSchema = z
  .object({
    applications: z.array(applicationRequestSchema).min(1).max(100),
    gateway: gatewayIdSchema.optional(),
    selector: z.string().min(1).max(2000).optional(),
    upgrade: z.boolean().default(false),
  })
  .refine(({ gateway, selector }) => (gateway === undefined) !== (selector === undefined), {
    message: 'name either a gateway or a selector',
  })
  .meta({ id: 'ExplainRequest' });
export const explainAnswerSchema = z
  .object({ gateway: z.string(), resolution: resolutionSchema })
  .meta({ id: 'ExplainAnswer' });

/** Gateways that get one answer: the same platform, capabilities, resources, installed and wanted components. */
export const explainedClassSchema = z
  .object({
    gateways: z.int(),
    /** The first of them by id. */
    example: z.string(),
    platform: platformSchema,
    resolution: resolutionSchema,
  })
  .meta({ id: 'ExplainedClass' });
export type ExplainedClass = z.infer<typeof explainedClassSchema>;
export const explainClassesAnswerSchema = z
  .object({
    selector: z.string(),
    /** How many the selector matches. */
    gateways: z.int(),
    /** The largest first. */
    classes: z.array(explainedClassSchema),
    /** What was left out and why, in words; absent when the classes hold every gateway. */
    cutOff: z.string().optional(),
  })
  .meta({ id: 'ExplainClassesAnswer' });
export type ExplainClassesAnswer = z.infer<typeof explainClassesAnswerSchema>;

export const uploadStatusSchema = z
  .object({ sha256: sha256Schema, size: z.int(), offset: z.int(), complete: z.boolean() })
  .meta({ id: 'Upload' });
export type UploadStatus = z.infer<typeof uploadStatusSchema>;

/** What /api/v1/events sends: the resource as it is now. Ids rise within one node process. */
export const eventSchema = z
  .discriminatedUnion('type', [
    z.object({
      type: z.literal('gateway'),
      gateway: gatewaySchema.pick({ id: true, connected: true, lastSeenAt: true }),
    }),
    z.object({ type: z.literal('rollout'), rollout: rolloutSchema }),
    z.object({ type: z.literal('task'), task: taskSchema }),
    /** Events were lost (the client was away too long or too slow): read the lists again. */
    z.object({ type: z.literal('reset') }),
  ])
  .meta({ id: 'Event' });
export type LeonoreEvent = z.infer<typeof eventSchema>;

export const nodeInfoSchema = z
  .object({ name: z.literal('leonore'), version: z.string(), tenant: z.string(), mqttUrl: z.string().optional() })
  .meta({ id: 'NodeInfo' });
