/** What the node keeps: how full it is, what of it is damaged, how two packages differ. */
import { z } from 'zod';
import { versionSchema } from './artifact.ts';
import { artifactNameSchema, packageIdSchema, sha256Schema, timestampSchema } from './ids.ts';

/** Bytes at rest that are not what they were. */
export const damageSchema = z
  .object({
    sha256: sha256Schema,
    problem: z.enum(['missing', 'damaged', 'unreadable']),
    foundAt: timestampSchema,
    /** What needs it, in words: `svm 1.2.28 (linux-arm64-glibc), gzip`. */
    neededBy: z.array(z.string()),
  })
  .meta({ id: 'Damage' });
export type Damage = z.infer<typeof damageSchema>;

export const verificationSchema = z
  .object({
    ok: z.boolean(),
    /** How many were read, and their bytes. */
    blobs: z.int(),
    bytes: z.int(),
    damages: z.array(damageSchema),
    /** The last blob that was looked at, where there are more to look at. */
    next: sha256Schema.optional(),
  })
  .meta({ id: 'Verification' });
export type Verification = z.infer<typeof verificationSchema>;

const shareSchema = z.object({ count: z.int(), bytes: z.int() });

export const storeStatusSchema = z
  .object({
    segments: shareSchema,
    deltas: shareSchema,
    /** Begun and not ended. */
    uploads: shareSchema,
    packages: z.object({ count: z.int() }),
    /** Bytes; `limit` absent = none. */
    quota: z.object({ used: z.int(), limit: z.int().optional() }),
    /** Bytes. `low`: an alert; `full`: nothing more is taken until there is room. */
    disk: z.object({ total: z.int(), free: z.int(), keepFree: z.int(), state: z.enum(['ok', 'low', 'full']) }),
    damages: z.array(damageSchema),
  })
  .meta({ id: 'StoreStatus' });
export type StoreStatus = z.infer<typeof storeStatusSchema>;

export const collectionSchema = z
  .object({
    packages: z.int(),
    deltas: z.int(),
    segments: z.int(),
    /** Bytes freed. */
    bytes: z.int(),
  })
  .meta({ id: 'Collection' });
export type Collection = z.infer<typeof collectionSchema>;

const changedFileSchema = z.object({ path: z.string(), from: z.int().optional(), to: z.int().optional() });

export const componentDiffSchema = z
  .object({
    name: artifactNameSchema,
    /** `rebuilt`: the same version with other content. */
    change: z.enum(['added', 'removed', 'updated', 'rebuilt', 'same']),
    from: versionSchema.optional(),
    to: versionSchema.optional(),
    /** Sizes in bytes; without `from` it came, without `to` it went; only what differs. */
    files: z.array(changedFileSchema),
    /** Over the air for a gateway that has the first and gets the second; `delta` absent where there is none that is smaller. */
    bytes: z.object({ full: z.int(), delta: z.int().optional() }),
  })
  .meta({ id: 'ComponentDiff' });
export type ComponentDiff = z.infer<typeof componentDiffSchema>;

export const packageDiffSchema = z
  .object({
    from: packageIdSchema,
    to: packageIdSchema,
    components: z.array(componentDiffSchema),
    /** Bytes over the air, header included: the whole second package, and by deltas and what need not be sent at all. */
    bytes: z.object({ full: z.int(), least: z.int() }),
  })
  .meta({ id: 'PackageDiff' });
export type PackageDiff = z.infer<typeof packageDiffSchema>;
