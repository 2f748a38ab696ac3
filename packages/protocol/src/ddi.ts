/**
 * Documents of hawkBit's Direct Device Integration API v1, which pull and push share: over HTTP they are answers and
 * bodies, over MQTT the deploymentBase document and the feedback are messages. Source: hawkBit 1.x, see docs/gateway-protocol.md.
 */
import { z } from 'zod';
import { taskOutcomeSchema } from './outcome.ts';
import { gatewayProfileSchema, installedComponentSchema } from './profile.ts';

const link = z.object({ href: z.string() });

/** Of an action: digits, as it becomes part of addresses and names of files. */
const actionIdSchema = z.string().regex(/^\d{1,19}$/, 'an action id is 1 to 19 digits');

/** GET /{tenant}/controller/v1/{id} */
export const ddiPollSchema = z.object({
  config: z.object({
    polling: z.object({ sleep: z.string().regex(/^\d\d:\d\d:\d\d$/) }),
    /** Told to LEONORE's own agent only: where push is offered, as at enrolment. */
    push: z.object({ mqttUrl: z.string().optional(), coapUrl: z.string().optional() }).optional(),
  }),
  _links: z
    .object({
      deploymentBase: link.optional(),
      cancelAction: link.optional(),
      confirmationBase: link.optional(),
      installedBase: link.optional(),
      configData: link.optional(),
    })
    .optional(),
});
export type DdiPoll = z.infer<typeof ddiPollSchema>;

export const ddiArtifactSchema = z.object({
  filename: z.string(),
  hashes: z.object({ sha1: z.string(), md5: z.string(), sha256: z.string() }),
  size: z.number(),
  _links: z.object({
    download: link.optional(),
    'download-http': link.optional(),
    md5sum: link.optional(),
    'md5sum-http': link.optional(),
  }),
});
export type DdiArtifact = z.infer<typeof ddiArtifactSchema>;

export const ddiChunkSchema = z.object({
  part: z.string(),
  version: z.string(),
  name: z.string(),
  artifacts: z.array(ddiArtifactSchema),
  metadata: z.array(z.object({ key: z.string(), value: z.string() })).optional(),
});
export type DdiChunk = z.infer<typeof ddiChunkSchema>;

/** `skip`: do not; `attempt`: when it suits; `forced`: now. */
export const ddiHandlingSchema = z.enum(['skip', 'attempt', 'forced']);
export type DdiHandling = z.infer<typeof ddiHandlingSchema>;

/** GET .../deploymentBase/{actionId}; the same document is pushed. `id` is a string of digits <= 2^31-1. */
export const ddiDeploymentSchema = z.object({
  id: actionIdSchema,
  deployment: z.object({
    download: ddiHandlingSchema,
    update: ddiHandlingSchema,
    maintenanceWindow: z.enum(['available', 'unavailable']).optional(),
    chunks: z.array(ddiChunkSchema),
  }),
  actionHistory: z.object({ status: z.string(), messages: z.array(z.string()) }).optional(),
});
export type DdiDeployment = z.infer<typeof ddiDeploymentSchema>;

/** GET .../cancelAction/{actionId}; the same document is pushed. */
export const ddiCancelSchema = z.object({
  id: z.string(),
  cancelAction: z.object({ stopId: actionIdSchema }),
});
export type DdiCancel = z.infer<typeof ddiCancelSchema>;

/** GET .../confirmationBase */
export const ddiConfirmationsSchema = z.object({
  autoConfirm: z.object({
    active: z.boolean(),
    initiator: z.string().optional(),
    remark: z.string().optional(),
    /** Milliseconds since 1970. */
    activatedAt: z.number().optional(),
  }),
  _links: z.object({
    activateAutoConfirm: link.optional(),
    deactivateAutoConfirm: link.optional(),
    confirmationBase: link.optional(),
  }),
});
export type DdiConfirmations = z.infer<typeof ddiConfirmationsSchema>;

/** GET .../confirmationBase/{actionId} */
export const ddiConfirmationSchema = ddiDeploymentSchema
  .omit({ deployment: true })
  .extend({ confirmation: ddiDeploymentSchema.shape.deployment });
export type DdiConfirmation = z.infer<typeof ddiConfirmationSchema>;

/** POST .../confirmationBase/{actionId}/feedback */
export const ddiConfirmationFeedbackSchema = z.object({
  confirmation: z.enum(['confirmed', 'denied']),
  code: z.int().optional(),
  details: z.array(z.string()).optional(),
});
export type DdiConfirmationFeedback = z.infer<typeof ddiConfirmationFeedbackSchema>;

/** POST .../confirmationBase/activateAutoConfirm; the body may be missing. */
export const ddiActivateAutoConfirmSchema = z.object({
  initiator: z.string().max(64).optional(),
  remark: z.string().max(512).optional(),
});
export type DdiActivateAutoConfirm = z.infer<typeof ddiActivateAutoConfirmSchema>;

/** PUT .../installedBase: what the gateway says it runs. */
export const ddiInstalledSchema = z.object({ name: z.string().min(1), version: z.string().min(1) });
export type DdiInstalled = z.infer<typeof ddiInstalledSchema>;

export const DDI_EXECUTIONS = [
  'closed',
  'proceeding',
  'canceled',
  'scheduled',
  'rejected',
  'resumed',
  'download',
  'downloaded',
] as const;

/** Body of a feedback. Members we do not know are ignored, as clients do send more. */
export const ddiFeedbackSchema = z
  .object({
    /** Only where the address does not say it: over MQTT. */
    id: z.union([z.string(), z.number()]).optional(),
    timestamp: z.number().optional(),
    status: z.object({
      execution: z.enum(DDI_EXECUTIONS),
      code: z.int().optional(),
      result: z.object({
        finished: z.enum(['none', 'success', 'failure']),
        progress: z.object({ cnt: z.number().optional(), of: z.number().optional() }).loose().optional(),
      }),
      details: z.array(z.string()).optional(),
    }),
    /** LEONORE's own agent: what is on the gateway after this step. Others leave it out. */
    installed: z.array(installedComponentSchema).max(500).optional(),
    /** LEONORE's own agent, with the end of a task. What cannot be read is left out: the report counts all the same. */
    outcome: taskOutcomeSchema.optional().catch(undefined),
  })
  .meta({ id: 'DdiFeedback' });
export type DdiFeedback = z.infer<typeof ddiFeedbackSchema>;

/** PUT .../configData */
export const ddiConfigDataSchema = z
  .object({
    mode: z.enum(['merge', 'replace', 'remove']).default('merge'),
    data: z
      .record(z.string(), z.string().nullable())
      .refine((data) => Object.keys(data).length > 0, { message: 'data is empty' }),
  })
  .meta({ id: 'DdiConfigData' });
export type DdiConfigData = z.infer<typeof ddiConfigDataSchema>;

/** The chunk's `part` of a LEONORE package, and the keys of its metadata. */
export const LEONORE_PART = 'leonore';
export const CHUNK_METADATA = {
  packageId: 'leonore.package',
  gatewayClass: 'leonore.class',
  /** Id of the gateway that it is for: any other refuses it. */
  gateway: 'leonore.gateway',
  /** Never falls for one gateway: an older one is refused. Here: the task id. */
  sequence: 'leonore.sequence',
  /** Milliseconds since 1970; after it the task is refused. */
  expires: 'leonore.expires',
  encoding: 'leonore.encoding',
  /** SHA-256 of the header segment, which names the digest of every other byte of the package. */
  headerSha256: 'leonore.header-sha256',
  /** Length of the header segment, bytes. */
  headerSize: 'leonore.header-size',
  /** JSON of the deltas that are offered beside the package; absent where there are none. */
  deltas: 'leonore.deltas',
  /** JSON list of the names of components that shall go down to an older version; absent where there are none. */
  downgrade: 'leonore.downgrade',
} as const;

/** POST /gateway/v1/enrol. The agent makes `secret` itself and keeps it before it asks, so a lost answer can be asked for again. */
export const enrolRequestSchema = z
  .object({
    token: z.string().min(1).max(256),
    id: z.string(),
    /** 32 random bytes in hex: from now on this gateway's token. */
    secret: z.string().regex(/^[0-9a-f]{64}$/, 'secret is 64 lower-case hex digits'),
    profile: gatewayProfileSchema.optional(),
  })
  .meta({ id: 'EnrolRequest' });
export type EnrolRequest = z.infer<typeof enrolRequestSchema>;

export const enrolAnswerSchema = z
  .object({
    tenant: z.string(),
    id: z.string(),
    /** How to authenticate from now on: `Authorization: TargetToken SECRET`; over MQTT user name `TENANT/ID`, password SECRET. */
    credential: z.object({ kind: z.literal('token') }),
    /** Where the gateway polls. */
    ddiUrl: z.string(),
    /** Where it connects for push; absent when the node offers none. */
    mqttUrl: z.string().optional(),
    /** Where it finds CoAP; absent when the node offers none. */
    coapUrl: z.string().optional(),
    /** Seconds between polls. */
    pollIntervalSeconds: z.int(),
  })
  .meta({ id: 'EnrolAnswer' });
export type EnrolAnswer = z.infer<typeof enrolAnswerSchema>;

/** Seconds as DDI's `HH:mm:ss`, always 8 characters (Zephyr checks that). Clamped to 00:00:01 .. 23:59:59. */
export function formatSleep(seconds: number): string {
  const clamped = Math.min(86_399, Math.max(1, Math.round(seconds)));
  const parts = [Math.floor(clamped / 3600), Math.floor(clamped / 60) % 60, clamped % 60];
  return parts.map((part) => String(part).padStart(2, '0')).join(':');
}

/** `HH:mm:ss` as seconds; undefined when it is not of that form. */
export function parseSleep(text: string): number | undefined {
  const match = /^(\d\d):([0-5]\d):([0-5]\d)$/.exec(text);
  return match ? Number(match[1]) * 3600 + Number(match[2]) * 60 + Number(match[3]) : undefined;
}
