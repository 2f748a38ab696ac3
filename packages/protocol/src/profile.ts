/** What a gateway says of itself. Sent whole at first and as a JSON merge patch (RFC 7396) afterwards. */
import { z } from 'zod';
import { artifactNameSchema, timestampSchema } from './ids.ts';
import { capabilityVersionSchema, encodingSchema, versionSchema } from './artifact.ts';

export const strategySchema = z.enum(['pull', 'push']).meta({ id: 'Strategy' });
export type Strategy = z.infer<typeof strategySchema>;

/** `app/svm` in a selector is the version of svm that the gateway has installed; neither label nor attribute may say so. */
export const INSTALLED_KEY_PREFIX = 'app/';

const word = z.string().min(1).max(64);
const labelKeySchema = z
  .string()
  .regex(
    /^[a-zA-Z0-9](?:[a-zA-Z0-9._/-]{0,61}[a-zA-Z0-9])?$/,
    'a label key is 1 to 63 letters, digits, ".", "_", "-", "/"',
  )
  .refine((key) => !key.startsWith(INSTALLED_KEY_PREFIX), {
    message: 'keys that begin with app/ say what is installed; choose another name for a label',
  });
const labelValueSchema = z.string().max(128);
export const labelsSchema = z
  .record(labelKeySchema, labelValueSchema, {
    // What is wrong with the key, where zod only says that it is wrong.
    error: (issue) => (issue.code === 'invalid_key' ? issue.issues[0]?.message : undefined),
  })
  .meta({ id: 'Labels' });
export type Labels = z.infer<typeof labelsSchema>;

/** A component as the gateway has it on disk. `state` is what its container says of it. */
export const installedComponentSchema = z
  .object({
    name: artifactNameSchema,
    version: versionSchema,
    state: z.enum(['installed', 'starting', 'running', 'stopped', 'failed']).default('installed'),
    /** True when somebody asked for it, false when it is there as a dependency. */
    requested: z.boolean().default(false),
  })
  .meta({ id: 'InstalledComponent' });
export type InstalledComponent = z.infer<typeof installedComponentSchema>;

export const gatewayProfileSchema = z
  .object({
    agent: z.object({ name: word, version: word }).optional(),
    hostname: z.string().max(255).optional(),
    os: word.optional(),
    arch: word.optional(),
    libc: word.optional(),
    /** Other architectures whose builds run here too, the preferred one first, such as `arm` on many an arm64. */
    compatibleArchs: z.array(word).max(8).optional(),
    kernel: z.string().max(128).optional(),
    cpu: z.object({ model: z.string().max(128).optional(), cores: z.int().min(1) }).optional(),
    /** Bytes. */
    memory: z.object({ total: z.int().min(0), free: z.int().min(0).optional() }).optional(),
    /** Bytes, of the file system that holds the agent's folder. */
    disk: z.object({ total: z.int().min(0), free: z.int().min(0) }).optional(),
    /** Execution environments and other abilities with their versions, such as `java: 17.0.15`. */
    capabilities: z.record(z.string().max(100), capabilityVersionSchema).default({}),
    /** Package compressions it can unpack, best first. */
    encodings: z.array(encodingSchema).default(['gzip']),
    strategies: z.array(strategySchema).default(['pull']),
    /** Everything that LEONORE put there, as it is on disk. Absent = this gateway does not say. */
    installed: z.array(installedComponentSchema).max(500).optional(),
    /** Labels the gateway has by itself (`--label`); the operator's labels win over them. */
    labels: labelsSchema.default({}),
    /** What gateways of other makers send as DDI configData. */
    attributes: z.record(z.string(), z.string()).default({}),
    reportedAt: timestampSchema.optional(),
  })
  .meta({ id: 'GatewayProfile' });
export type GatewayProfile = z.infer<typeof gatewayProfileSchema>;

export const EMPTY_PROFILE: GatewayProfile = gatewayProfileSchema.parse({});

/** RFC 7396 JSON Merge Patch: null deletes, objects merge, anything else replaces. Neither input is changed. */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isPlainObject(patch)) return patch;
  const result: Record<string, unknown> = isPlainObject(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (key === '__proto__') continue;
    if (value === null) delete result[key];
    else result[key] = mergePatch(result[key], value);
  }
  return result;
}

function isPlainObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Keys of the profile that a selector can name, beside labels and what is installed (`app/NAME`). */
export const PROFILE_SELECTOR_KEYS = ['id', 'os', 'arch', 'libc', 'kernel', 'hostname', 'agent'] as const;
