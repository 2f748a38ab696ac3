/** What a gateway says of itself. Sent whole at first and as a JSON merge patch (RFC 7396) afterwards. */
import { z } from 'zod';
import { artifactNameSchema, timestampSchema } from './ids.ts';
import {
  capabilityVersionSchema,
  encodingSchema,
  executorSchema,
  packageFormatSchema,
  versionSchema,
} from './artifact.ts';
import { deltaKindSchema } from './delta.ts';

export const strategySchema = z.enum(['pull', 'push']).meta({ id: 'Strategy' });
export type Strategy = z.infer<typeof strategySchema>;

/** `app/svm` in a selector is the version of svm that the gateway has installed; neither label nor attribute may say so. */
export const INSTALLED_KEY_PREFIX = 'app/';
/** `fact/line` in a selector is what the gateway's own fact `line` says; neither label nor attribute may say so. */
export const FACT_KEY_PREFIX = 'fact/';

/** True of selector keys that say one thing only, whatever labels and attributes there are. */
export function isReservedKey(key: string): boolean {
  return key.startsWith(INSTALLED_KEY_PREFIX) || key.startsWith(FACT_KEY_PREFIX);
}

const word = z.string().min(1).max(64);
const line = z.string().min(1).max(128);
const labelKeySchema = z
  .string()
  .regex(
    /^[a-zA-Z0-9](?:[a-zA-Z0-9._/-]{0,61}[a-zA-Z0-9])?$/,
    'a label key is 1 to 63 letters, digits, ".", "_", "-", "/"',
  )
  .refine((key) => !key.startsWith(INSTALLED_KEY_PREFIX), {
    message: 'keys that begin with app/ say what is installed; choose another name for a label',
  })
  .refine((key) => !key.startsWith(FACT_KEY_PREFIX), {
    message: "keys that begin with fact/ are the gateway's own facts; choose another name for a label",
  });
const labelValueSchema = z.string().max(128);
export const labelsSchema = z
  .record(labelKeySchema, labelValueSchema, {
    // What is wrong with the key, where zod only says that it is wrong.
    error: (issue) => (issue.code === 'invalid_key' ? issue.issues[0]?.message : undefined),
  })
  .meta({ id: 'Labels' });
export type Labels = z.infer<typeof labelsSchema>;

export const MAX_FACTS = 100;
export const factKeySchema = z
  .string()
  .regex(
    /^[a-zA-Z0-9](?:[a-zA-Z0-9._-]{0,61}[a-zA-Z0-9])?$/,
    'the name of a fact is 1 to 63 letters, digits, ".", "_", "-"',
  );
export const factValueSchema = z.union([z.string().max(255), z.number(), z.boolean()]);
/** What scripts and files of the gateway say of it. `fact/NAME` in selectors. */
export const factsSchema = z
  .record(factKeySchema, factValueSchema)
  .refine((facts) => Object.keys(facts).length <= MAX_FACTS, { message: `a gateway has at most ${MAX_FACTS} facts` })
  .meta({ id: 'Facts' });
export type Facts = z.infer<typeof factsSchema>;

export const networkInterfaceSchema = z
  .object({
    name: word,
    kind: z.enum(['ethernet', 'wifi', 'cellular', 'can', 'bridge', 'bond', 'vlan', 'tunnel', 'virtual']).optional(),
    /** With the length of the prefix: `192.168.1.7/24`. Those that count outside of the link only. */
    addresses: z.array(word).max(16),
    /** Told only by a gateway that was told to. */
    mac: z
      .string()
      .regex(/^[0-9a-f]{2}(:[0-9a-f]{2}){1,19}$/)
      .optional(),
  })
  .meta({ id: 'NetworkInterface' });
export type NetworkInterface = z.infer<typeof networkInterfaceSchema>;

/** A component as the gateway has it on disk. `state` is what its container says of it. */
export const installedComponentSchema = z
  .object({
    name: artifactNameSchema,
    version: versionSchema,
    state: z.enum(['installed', 'starting', 'running', 'stopped', 'failed']).default('installed'),
    /** True when somebody asked for it, false when it is there as a dependency. */
    requested: z.boolean().default(false),
    /** What runs it, where that is not `process`. */
    executor: executorSchema.optional(),
    /** User id that it has of its own. */
    user: z.int().min(0).optional(),
    /** Those in force of the limits that its manifest asks for; `by`: who enforces them. Amounts as in the manifest. */
    limits: z
      .object({
        by: z.enum(['cgroup', 'rlimit', 'systemd', 'none']),
        cpu: z.number().optional(),
        memory: z.int().optional(),
        processes: z.int().optional(),
      })
      .optional(),
    /** How often it was started again since the agent started it. Absent: never. */
    restarts: z.int().min(0).optional(),
    /** When the process that runs now was started. */
    since: timestampSchema.optional(),
    /** How it ended the last time; neither code nor signal: nobody saw. */
    lastExit: z
      .object({
        at: timestampSchema,
        code: z.int().optional(),
        signal: z.string().max(32).optional(),
        /** Why it was ended, where the container did it. */
        why: z.string().max(200).optional(),
      })
      .optional(),
    /** What is not as it should be, for people: why it is unhealthy, or what its manifest asks for in vain. */
    note: z.string().max(300).optional(),
  })
  .meta({ id: 'InstalledComponent' });
export type InstalledComponent = z.infer<typeof installedComponentSchema>;

export const gatewayProfileSchema = z
  .object({
    agent: z.object({ name: word, version: word }).optional(),
    hostname: z.string().max(255).optional(),
    /** What the hardware calls itself: the device tree's model, or vendor and product of the DMI. */
    board: line.optional(),
    /** Told only by a gateway that was told to. */
    serial: line.optional(),
    os: word.optional(),
    /** As os-release(5) has it: `ID`, `VERSION_ID`, `PRETTY_NAME`. */
    distribution: z.object({ id: word, version: word.optional(), name: line.optional() }).optional(),
    arch: word.optional(),
    libc: word.optional(),
    libcVersion: word.optional(),
    /** Other architectures whose builds run here too, the preferred one first, such as `arm` on many an arm64. */
    compatibleArchs: z.array(word).max(8).optional(),
    kernel: z.string().max(128).optional(),
    /** `features`: those that decide which builds run well, in the kernel's words. */
    cpu: z
      .object({
        model: z.string().max(128).optional(),
        cores: z.int().min(1),
        features: z.array(z.string().min(1).max(32)).max(64).optional(),
      })
      .optional(),
    /** Version of the control groups that applications can be limited with. */
    cgroup: z.int().min(1).max(2).optional(),
    /** Bytes. */
    memory: z.object({ total: z.int().min(0), free: z.int().min(0).optional() }).optional(),
    /** Bytes, of the file system that holds the agent's folder. */
    disk: z.object({ total: z.int().min(0), free: z.int().min(0) }).optional(),
    network: z
      .object({
        interfaces: z.array(networkInterfaceSchema).max(32),
        /** Where everything goes that has no nearer way. `address` is absent on links with one other end. */
        route: z.object({ interface: word, address: word.optional() }).optional(),
        /** The IPv4 network of that interface: `192.168.1.0/24`. */
        subnet: word.optional(),
      })
      .optional(),
    /** Mean number of processes that ran or wanted to, over 5 minutes. */
    load: z.number().min(0).max(1e6).optional(),
    /** Of the hottest part that tells, degrees Celsius. */
    temperature: z.number().min(-273.15).max(1000).optional(),
    /** Seconds since the machine was started, when it was last told. */
    uptime: z.int().min(0).optional(),
    /** `offset`: seconds that its clock is ahead of the server's, 0 for less than 5. `synchronised`: what its time service says. */
    clock: z.object({ offset: z.int().optional(), synchronised: z.boolean().optional() }).optional(),
    /** Execution environments and other abilities with their versions, such as `java: 17.0.15`. */
    capabilities: z.record(z.string().max(100), capabilityVersionSchema).default({}),
    /** Package compressions it can unpack, best first. */
    encodings: z.array(encodingSchema).max(8).default(['gzip']),
    /** Package formats it installs, best first. Absent: LEONORE's own archives in these encodings. */
    formats: z.array(packageFormatSchema).max(4).optional(),
    /** Kinds of delta it can apply to what it has installed. Absent: none. */
    deltas: z.array(deltaKindSchema).max(4).optional(),
    strategies: z.array(strategySchema).max(8).default(['pull']),
    /** Everything that LEONORE put there, as it is on disk. Absent = this gateway does not say. */
    installed: z.array(installedComponentSchema).max(500).optional(),
    /** Labels the gateway has by itself (`--label`); the operator's labels win over them. */
    labels: labelsSchema.default({}),
    /** What gateways of other makers send as DDI configData. */
    attributes: z.record(z.string(), z.string()).default({}),
    /** What its own scripts and files say. */
    facts: factsSchema.optional(),
    /** Names this state of the profile; the gateway makes it up. */
    revision: z.string().min(1).max(64).optional(),
    reportedAt: timestampSchema.optional(),
  })
  .meta({ id: 'GatewayProfile' });
export type GatewayProfile = z.infer<typeof gatewayProfileSchema>;

export const EMPTY_PROFILE: GatewayProfile = gatewayProfileSchema.parse({});

/**
 * In a merge patch, beside the profile's keys: the `revision` that it was made from. One that was made from another than
 * the server has is refused (`profile.base`), and the gateway sends its profile whole. Absent: it is merged, whatever is there.
 */
export const PATCH_BASE_KEY = 'base';

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

/** Keys of the profile that a selector can name, beside labels, what is installed (`app/NAME`) and own facts (`fact/NAME`). */
export const PROFILE_SELECTOR_KEYS = [
  'id',
  'os',
  'distribution',
  'distribution-version',
  'arch',
  'libc',
  'kernel',
  'board',
  'subnet',
  'hostname',
  'agent',
] as const;

/** A board's name as selectors can write it: `raspberry-pi-4-model-b-rev-1.4`. */
export function boardWord(board: string): string {
  return board
    .toLowerCase()
    .replaceAll(/[^a-z0-9._]+/g, '-')
    .replaceAll(/^[-._]+|[-._]+$/g, '');
}
