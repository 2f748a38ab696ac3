/** `manifest.json` of a composed package: everything a gateway needs to know to verify, unpack and act. */
import { z } from 'zod';
import {
  encodingSchema,
  fileEntrySchema,
  installPathSchema,
  platformSchema,
  runSchema,
  segmentEncodingSchema,
  versionSchema,
} from './artifact.ts';
import { artifactNameSchema, packageIdSchema, sha256Schema } from './ids.ts';

export const packageComponentSchema = z
  .object({
    name: artifactNameSchema,
    version: versionSchema,
    /** `install` on a gateway that does not have it, `update` where another version is there. */
    action: z.enum(['install', 'update']),
    /** The version that `update` replaces. */
    replaces: versionSchema.optional(),
    /** True when somebody asked for it, false when it comes in as a dependency. */
    requested: z.boolean(),
    installPath: installPathSchema.optional(),
    /** Names of components that must be installed and running before this one. */
    after: z.array(artifactNameSchema),
    run: runSchema.optional(),
    contentSha256: sha256Schema,
    /** Where its segment lies: bytes from the end of the header segment. */
    segment: z.object({ offset: z.int().min(0), length: z.int().min(1), sha256: sha256Schema }),
    files: z.array(fileEntrySchema),
    /** Sum of the files' sizes, bytes. */
    unpackedSize: z.int().min(0),
  })
  .meta({ id: 'PackageComponent' });
export type PackageComponent = z.infer<typeof packageComponentSchema>;

/** Components that stay as they are but must be known: `requested` may change, and they restart when what they need changed. */
export const keptComponentSchema = z
  .object({
    name: artifactNameSchema,
    version: versionSchema,
    requested: z.boolean(),
    after: z.array(artifactNameSchema),
  })
  .meta({ id: 'KeptComponent' });
export type KeptComponent = z.infer<typeof keptComponentSchema>;

export const packageManifestSchema = z
  .object({
    schemaVersion: z.literal(1),
    id: packageIdSchema,
    encoding: encodingSchema,
    /** The gateway class it was made for. */
    gatewayClass: z.object({ id: z.string(), platform: platformSchema }),
    /** In install order: what is needed comes first. */
    components: z.array(packageComponentSchema),
    keep: z.array(keptComponentSchema),
    /** In the order of removal: what needs others goes first. */
    remove: z.array(z.object({ name: artifactNameSchema, version: versionSchema })),
    /** Bytes of all segments together, without header and trailer. */
    payloadSize: z.int().min(0),
  })
  .meta({ id: 'PackageManifest' });
export type PackageManifest = z.infer<typeof packageManifestSchema>;

/** What a package of any format holds: an image's has one component, whose segment is the file itself. */
export const packageContentsSchema = packageManifestSchema
  .extend({
    encoding: segmentEncodingSchema,
    /** Of an image: DDI's name for the kind of software module. */
    part: z.string().optional(),
  })
  .meta({ id: 'PackageContents' });
export type PackageContents = z.infer<typeof packageContentsSchema>;
