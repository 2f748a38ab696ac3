/** The artifact manifest (`leonore.yaml`) and what a published build of it looks like. */
import semver from 'semver';
import { z } from 'zod';
import { artifactNameSchema, sha256Schema, timestampSchema } from './ids.ts';

/** A semantic version (semver.org 2.0.0), normalised: no leading `v`, no build metadata. */
export const versionSchema = z
  .string()
  .max(128)
  .refine((text) => semver.valid(text) === text, {
    message: 'a version is MAJOR.MINOR.PATCH[-PRERELEASE] as semver.org has it, such as 1.2.28',
  });

/** A semver range as npm writes it (`^1.2.0`, `>=2 <4`, `1.x || 3.x`, `*`). */
export const rangeSchema = z
  .string()
  .max(256)
  .refine((text) => semver.validRange(text) !== null, { message: 'a range reads like ^1.2.0, >=2 <4, 1.x or *' });

/** A capability's version: semver, or shorter (`8`, `17.0`) as runtimes like to call themselves. */
export const capabilityVersionSchema = z
  .string()
  .max(128)
  .refine((text) => semver.coerce(text) !== null, {
    message: 'a capability version starts with a number, such as 17 or 1.2.28',
  });

const BYTES = /^(\d+(?:\.\d+)?)\s*(B|KiB|MiB|GiB|kB|KB|MB|GB)?$/;
const UNIT = { B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, kB: 1e3, KB: 1e3, MB: 1e6, GB: 1e9 } as const;
/** A number of bytes, or text such as `64MiB`; parsed to bytes. */
export const bytesSchema = z
  .union([z.int().min(0), z.string()])
  .transform((value, context): number => {
    if (typeof value === 'number') return value;
    const match = BYTES.exec(value.trim());
    if (!match) {
      context.addIssue({
        code: 'custom',
        message: `"${value}" is no amount of bytes; write it like 64MiB, 20kB or 1048576`,
      });
      return z.NEVER;
    }
    return Math.round(Number(match[1]) * UNIT[(match[2] ?? 'B') as keyof typeof UNIT]);
  })
  .pipe(z.int().min(0));

const platformWord = z.string().regex(/^[a-z0-9][a-z0-9_.-]{0,31}$/, 'lower-case letters, digits, "_", "." and "-"');
/** Each key optional; missing means any. Values as Node and Debian name them: linux; x64, arm64, arm, riscv64; glibc, musl. */
export const platformSchema = z
  .strictObject({ os: platformWord.optional(), arch: platformWord.optional(), libc: platformWord.optional() })
  .meta({ id: 'Platform' });
export type Platform = z.infer<typeof platformSchema>;

/** `linux-arm64-glibc`, `linux-any-any`: names a build among those of its version. */
export function platformKey(platform: Platform): string {
  return `${platform.os ?? 'any'}-${platform.arch ?? 'any'}-${platform.libc ?? 'any'}`;
}

const capabilityNameSchema = z
  .string()
  .max(100)
  .regex(/^[a-z0-9]+(?:[._-][a-z0-9]+)*$/, 'a capability is named like java or opc-ua');

/** A folder on the gateway: absolute, no `.`/`..` parts, no doubled slash. */
export const installPathSchema = z
  .string()
  .max(255)
  .refine(
    (path) => /^(\/[^/\p{Cc}]+)+$/u.test(path) && !path.split('/').some((part) => part === '.' || part === '..'),
    {
      message: 'installPath is an absolute path without "." or ".." parts, such as /opt/sedona-vm',
    },
  );

const seconds = z.int().min(1).max(86_400);

export const runSchema = z
  .strictObject({
    restart: z.enum(['always', 'on-failure', 'never']).default('always'),
    /** Seconds after start within which `control/health` must succeed. */
    healthTimeoutSeconds: seconds.default(30),
    /** Seconds between two health checks of a running application. */
    healthIntervalSeconds: seconds.default(30),
    /** Seconds between SIGTERM and SIGKILL. */
    stopTimeoutSeconds: seconds.default(10),
    env: z.record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/), z.string().max(4096)).default({}),
  })
  .meta({ id: 'Run' });
export type Run = z.infer<typeof runSchema>;

/** One way to meet a need: an artifact by name, or a capability from wherever it comes. */
export const alternativeSchema = z
  .strictObject({
    artifact: artifactNameSchema.optional(),
    capability: capabilityNameSchema.optional(),
    range: rangeSchema.default('*'),
  })
  .refine(({ artifact, capability }) => (artifact === undefined) !== (capability === undefined), {
    message: 'an alternative names either an artifact or a capability, such as { artifact: jvm, range: ">=17" }',
  });
export type Alternative = z.infer<typeof alternativeSchema>;

const MAX_ALTERNATIVES = 16;
const alternativesSchema = z
  .array(alternativeSchema)
  .refine(({ length }) => length >= 2 && length <= MAX_ALTERNATIVES, {
    message: `a choice has 2 to ${MAX_ALTERNATIVES} alternatives; what has only one stands under "artifacts" or "capabilities"`,
  });

export const requiresSchema = z.strictObject({
  /** Other artifacts by name, with the range of versions that will do. */
  artifacts: z.record(artifactNameSchema, rangeSchema).default({}),
  /** Artifacts that are taken along when they can be had; where one is there, its version must be in the range. */
  optional: z.record(artifactNameSchema, rangeSchema).optional(),
  /** Of each list one must be there; the first that can be had is taken, unless another is there anyway. */
  anyOf: z
    .array(alternativesSchema)
    .refine(({ length }) => length <= MAX_ALTERNATIVES, {
      message: `at most ${MAX_ALTERNATIVES} lists of alternatives`,
    })
    .optional(),
  /** Capabilities by name, met by the gateway's profile or by an artifact that provides them. */
  capabilities: z.record(capabilityNameSchema, rangeSchema).default({}),
  /** Bytes. */
  resources: z.strictObject({ memory: bytesSchema.optional(), disk: bytesSchema.optional() }).default({}),
});

export const artifactManifestSchema = z
  .strictObject({
    name: artifactNameSchema,
    version: versionSchema,
    description: z.string().max(1000).default(''),
    platform: platformSchema.default({}),
    installPath: installPathSchema.optional(),
    requires: requiresSchema.default({ artifacts: {}, capabilities: {}, resources: {} }),
    provides: z.record(capabilityNameSchema, capabilityVersionSchema).default({}),
    conflicts: z.record(artifactNameSchema, rangeSchema).default({}),
    /** How the container keeps `control/start` running; absent = nothing to run. */
    run: runSchema.optional(),
  })
  .superRefine((manifest, context) => {
    const { artifacts, optional = {}, anyOf = [] } = manifest.requires;
    for (const [key, names] of Object.entries({ artifacts, optional })) {
      if (!Object.hasOwn(names, manifest.name)) continue;
      context.addIssue({
        code: 'custom',
        path: ['requires', key, manifest.name],
        message: `${manifest.name} cannot require itself`,
      });
    }
    for (const name of Object.keys(optional)) {
      if (!Object.hasOwn(artifacts, name)) continue;
      context.addIssue({
        code: 'custom',
        path: ['requires', 'optional', name],
        message: `${name} is required under "artifacts" already; it cannot be optional too`,
      });
    }
    for (const [list, alternatives] of anyOf.entries()) {
      for (const [index, { artifact }] of alternatives.entries()) {
        if (artifact !== manifest.name) continue;
        context.addIssue({
          code: 'custom',
          path: ['requires', 'anyOf', list, index, 'artifact'],
          message: `${manifest.name} cannot require itself`,
        });
      }
    }
    if (Object.hasOwn(manifest.conflicts, manifest.name)) {
      context.addIssue({
        code: 'custom',
        path: ['conflicts', manifest.name],
        message: `${manifest.name} cannot conflict with itself`,
      });
    }
  })
  .meta({ id: 'ArtifactManifest' });
/** A manifest as it stands after parsing: defaults filled in, amounts in bytes. */
export type ArtifactManifest = z.infer<typeof artifactManifestSchema>;

export const encodingSchema = z.enum(['gzip', 'zstd']).meta({ id: 'Encoding' });
export type Encoding = z.infer<typeof encodingSchema>;
export const ENCODINGS = encodingSchema.options;

/** One compressed form of a build's tar: its name in the blob store and its length in bytes. */
export const segmentSchema = z
  .object({ encoding: encodingSchema, sha256: sha256Schema, size: z.int().min(1) })
  .meta({ id: 'Segment' });
export type Segment = z.infer<typeof segmentSchema>;

/** A file of a build; `path` is relative to the package root (`binary/NAME/...`, `control/NAME/...`), `mode` 0o755 or 0o644. */
export const fileEntrySchema = z
  .object({
    path: z.string().min(1).max(1024),
    mode: z.union([z.literal(0o755), z.literal(0o644)]),
    size: z.int().min(0),
    sha256: sha256Schema,
  })
  .meta({ id: 'FileEntry' });
export type FileEntry = z.infer<typeof fileEntrySchema>;

/** What `control/` may hold. Each is optional and executable. */
export const CONTROL_SCRIPTS = ['install', 'start', 'stop', 'health', 'uninstall'] as const;
export type ControlScript = (typeof CONTROL_SCRIPTS)[number];

/** What the publisher sends once its segments are uploaded. */
export const publishRequestSchema = z
  .object({ manifest: artifactManifestSchema, segments: z.array(segmentSchema).min(1).max(2) })
  .meta({ id: 'PublishRequest' });
export type PublishRequest = z.infer<typeof publishRequestSchema>;

/** A published build: it never changes, only `withdrawnAt` is set once. */
export const artifactSchema = z
  .object({
    manifest: artifactManifestSchema,
    /** SHA-256 over the uncompressed tar: what "the same bytes" means, whatever the compression. */
    contentSha256: sha256Schema,
    /** Sum of all file sizes, bytes. */
    unpackedSize: z.int().min(0),
    fileCount: z.int().min(0),
    segments: z.array(segmentSchema),
    publishedAt: timestampSchema,
    withdrawnAt: timestampSchema.optional(),
    withdrawnReason: z.string().optional(),
  })
  .meta({ id: 'Artifact' });
export type Artifact = z.infer<typeof artifactSchema>;

/** `name version (platform)`, as people read it. */
export function artifactLabel(manifest: Pick<ArtifactManifest, 'name' | 'version' | 'platform'>): string {
  const key = platformKey(manifest.platform);
  return key === 'any-any-any'
    ? `${manifest.name} ${manifest.version}`
    : `${manifest.name} ${manifest.version} (${key})`;
}
