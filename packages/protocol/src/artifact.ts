/** The artifact manifest (`leonore.yaml`) and what a published build of it looks like. */
import semverCoerce from 'semver/functions/coerce.js';
import semverLt from 'semver/functions/lt.js';
import semverValid from 'semver/functions/valid.js';
import semverValidRange from 'semver/ranges/valid.js';
import { z } from 'zod';
import { artifactNameSchema, sha256Schema, timestampSchema } from './ids.ts';

/** A semantic version (semver.org 2.0.0), normalised: no leading `v`, no build metadata. */
export const versionSchema = z
  .string()
  .max(128)
  .refine((text) => semverValid(text) === text, {
    message: 'a version is MAJOR.MINOR.PATCH[-PRERELEASE] as semver.org has it, such as 1.2.28',
  });

/** In the order of semver.org, where build metadata do not count. */
export function isOlderVersion(version: string, than: string): boolean {
  return semverLt(version, than);
}

/** A semver range as npm writes it (`^1.2.0`, `>=2 <4`, `1.x || 3.x`, `*`). */
export const rangeSchema = z
  .string()
  .max(256)
  .refine((text) => semverValidRange(text) !== null, { message: 'a range reads like ^1.2.0, >=2 <4, 1.x or *' });

/** A capability's version: semver, or shorter (`8`, `17.0`) as runtimes like to call themselves. */
export const capabilityVersionSchema = z
  .string()
  .max(128)
  .refine((text) => semverCoerce(text) !== null, {
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

const STEPS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

/** An amount of bytes as people read it: `118 KiB`, `11.4 MiB`. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let step = 0;
  while (value >= 1023.5 && step < STEPS.length - 1) {
    value /= 1024;
    step++;
  }
  return `${step > 0 && value < 99.95 ? value.toFixed(1) : Math.round(value)} ${STEPS[step]}`;
}

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

const hostSchema = z
  .string()
  .max(253)
  .regex(/^[A-Za-z0-9:]([A-Za-z0-9.:-]*[A-Za-z0-9:])?$/, 'a host is a name or an address, such as 127.0.0.1')
  .default('127.0.0.1');
const portSchema = z.int().min(1).max(65_535);

/** How it is found out whether an application is well. `control/health`, where there is one, must agree. */
export const healthSchema = z.strictObject({
  /** Something listens there. */
  tcp: z.strictObject({ port: portSchema, host: hostSchema }).optional(),
  /** A GET is answered with `status`, or with any below 400. The certificate behind https is not looked at. */
  http: z
    .strictObject({
      port: portSchema,
      path: z
        .string()
        .max(1024)
        .regex(/^\/[!-~]*$/, 'a path begins with "/" and has no spaces, such as /health')
        .default('/'),
      host: hostSchema,
      status: z.int().min(100).max(599).optional(),
      https: z.boolean().default(false),
    })
    .optional(),
  /** A check that takes longer has failed. */
  timeoutSeconds: seconds.default(10),
  /** Failed checks in a row before a running application counts as unhealthy. */
  failures: z.int().min(1).max(100).default(3),
  /** Whether it is then started again (not with `restart: never`), or only told. */
  restart: z.boolean().default(true),
});

const MIN_MEMORY_LIMIT = 2 ** 20;
/** What an application may have at most. `requires.resources` is what it is expected to need: another thing. */
export const limitsSchema = z.strictObject({
  /** Processors; 0.5 is half of one. */
  cpu: z.number().min(0.01).max(1024).optional(),
  /** Bytes. */
  memory: bytesSchema
    .refine((bytes) => bytes >= MIN_MEMORY_LIMIT, { message: 'a limit of memory is at least 1MiB' })
    .optional(),
  /** Processes and threads. */
  processes: z.int().min(1).max(1_000_000).optional(),
});

export const executorSchema = z.enum(['process', 'systemd', 'oci']).meta({ id: 'Executor' });
export type ExecutorName = z.infer<typeof executorSchema>;

export const runSchema = z
  .strictObject({
    restart: z.enum(['always', 'on-failure', 'never']).default('always'),
    /** Seconds after start within which its health must be proven. */
    healthTimeoutSeconds: seconds.default(30),
    /** Seconds between two health checks of a running application. */
    healthIntervalSeconds: seconds.default(30),
    /** Seconds between SIGTERM and SIGKILL. */
    stopTimeoutSeconds: seconds.default(10),
    env: z.record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/), z.string().max(4096)).default({}),
    /** Absent: only `control/health`, told at its first failure and nothing done. */
    health: healthSchema.optional(),
    limits: limitsSchema.optional(),
    /** `own` (when absent): one of its own where the agent is root, else the agent's. */
    user: z.enum(['own', 'root']).optional(),
    /** What runs it; absent: `process`. */
    executor: executorSchema.optional(),
    oci: z
      .strictObject({
        /** In `binary/`: an uncompressed tar of the root file system. */
        rootfs: z
          .string()
          .max(255)
          .regex(
            /^(?!\.)[A-Za-z0-9._-]+(\/(?!\.)[A-Za-z0-9._-]+)*$/,
            'the name of a tar in binary/, such as rootfs.tar',
          ),
      })
      .optional(),
  })
  .superRefine(({ executor, oci }, context) => {
    if (executor === 'oci' && !oci) {
      const message = 'executor: oci needs a root file system; write oci: { rootfs: rootfs.tar } as well';
      context.addIssue({ code: 'custom', path: ['executor'], message });
    } else if (executor !== 'oci' && oci) {
      context.addIssue({ code: 'custom', path: ['oci'], message: 'is for executor: oci only; write that as well' });
    }
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

/** DDI's name for the kind of software module, which its clients choose by: SWUpdate takes any, Zephyr only `bApp`. */
const imagePartSchema = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$/, 'letters, digits, "_", "." and "-", such as os or bApp');

/** It goes into addresses and headers, and from there into file names on gateways. */
const imageFileSchema = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._+-]{0,127}$/,
    'an image\'s file is named with letters, digits, ".", "_", "+" and "-", such as gateway-2.1.swu',
  );

/** An image is installed by the gateway itself and travels alone, so there is nothing to start, to place or to bring along. */
function imageFaults(manifest: {
  readonly kind?: 'application' | 'image' | undefined;
  readonly image?: unknown;
  readonly run?: unknown;
  readonly installPath?: unknown;
  readonly requires: z.infer<typeof requiresSchema>;
}): { readonly path: PropertyKey[]; readonly message: string }[] {
  if (manifest.kind !== 'image') {
    if (manifest.image === undefined) return [];
    return [{ path: ['image'], message: 'belongs to an image only; write kind: image as well, or take it out' }];
  }
  const faults: { path: PropertyKey[]; message: string }[] = [];
  const alone = 'an image is delivered alone and brings nothing along; roll out what it needs before it';
  const { artifacts, optional = {}, anyOf = [] } = manifest.requires;
  if (manifest.run !== undefined)
    faults.push({ path: ['run'], message: 'an image is installed by the gateway itself, LEONORE runs nothing of it' });
  if (manifest.installPath !== undefined)
    faults.push({ path: ['installPath'], message: 'an image is installed by the gateway itself, where it says' });
  if (Object.keys(artifacts).length > 0) faults.push({ path: ['requires', 'artifacts'], message: alone });
  if (Object.keys(optional).length > 0) faults.push({ path: ['requires', 'optional'], message: alone });
  for (const [list, alternatives] of anyOf.entries())
    if (alternatives.some(({ artifact }) => artifact !== undefined))
      faults.push({ path: ['requires', 'anyOf', list], message: `${alone}; capabilities may stand here` });
  return faults;
}

export const artifactManifestSchema = z
  .strictObject({
    name: artifactNameSchema,
    version: versionSchema,
    /**
     * `image`: one file (a `.swu`, a RAUC bundle, a firmware) that is delivered untouched to a gateway that installs such
     * files by itself. Absent: an application or library for a gateway's container.
     */
    kind: z.enum(['application', 'image']).optional(),
    image: z
      .strictObject({
        part: imagePartSchema.default('os'),
        /** What the gateway sees it called. Left out in `leonore.yaml`: the file in `image/`, and packing fills it in. */
        file: imageFileSchema.optional(),
      })
      .optional(),
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
    for (const { path, message } of imageFaults(manifest)) context.addIssue({ code: 'custom', path, message });
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

/** `raw`: the file of an image as it is. */
export const segmentEncodingSchema = z.enum([...ENCODINGS, 'raw']).meta({ id: 'SegmentEncoding' });
export type SegmentEncoding = z.infer<typeof segmentEncodingSchema>;

/** One compressed form of a build's tar, or an image's file: its name in the blob store and its length in bytes. */
export const segmentSchema = z
  .object({ encoding: segmentEncodingSchema, sha256: sha256Schema, size: z.int().min(1) })
  .meta({ id: 'Segment' });
export type Segment = z.infer<typeof segmentSchema>;

/**
 * What a gateway is given: LEONORE's own archive in one of its compressions, a SWUpdate image composed of the same
 * components, or one opaque image as it was published.
 */
export const packageFormatSchema = z.enum(['tar.zst', 'tar.gz', 'swu', 'image']).meta({ id: 'PackageFormat' });
export type PackageFormat = z.infer<typeof packageFormatSchema>;

/** A file of a build; `path` is relative to the package root (`binary/NAME/...`, `control/NAME/...`, an image's `image/NAME/FILE`), `mode` 0o755 or 0o644. */
export const fileEntrySchema = z
  .object({
    path: z.string().min(1).max(1024),
    mode: z.union([z.literal(0o755), z.literal(0o644)]),
    size: z.int().min(0),
    sha256: sha256Schema,
  })
  .meta({ id: 'FileEntry' });
export type FileEntry = z.infer<typeof fileEntrySchema>;

/** Where an image's one file lies among the files of builds. */
export function imagePath(name: string, file: string): string {
  return `image/${name}/${file}`;
}

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
