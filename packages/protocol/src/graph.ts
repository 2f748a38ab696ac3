/** The graph of what needs what and where it runs, as the user-facing API shows it. */
import { z } from 'zod';
import { platformSchema, rangeSchema, versionSchema } from './artifact.ts';
import { artifactNameSchema } from './ids.ts';

/** A published build that needs something, directly or by way of others. */
export const dependentSchema = z
  .object({
    name: artifactNameSchema,
    version: versionSchema,
    platform: platformSchema,
    withdrawn: z.boolean(),
    /** What it declares, in words: `svm ^1.2.0`, `capability java >=11`. */
    needs: z.array(z.string()),
    /** What lies between it and the artifact asked about, the nearest to it first; empty when it needs that itself. */
    path: z.array(z.string()),
  })
  .meta({ id: 'Dependent' });
export type Dependent = z.infer<typeof dependentSchema>;

/** Who runs an artifact and who needs it. */
export const artifactUsageSchema = z
  .object({
    name: artifactNameSchema,
    /** The versions asked about; absent = every version. */
    range: rangeSchema.optional(),
    /** How many gateways have one of these versions installed. */
    gateways: z.int(),
    /** Those versions that run somewhere, newest first. `unknown`: nobody published it here. */
    versions: z.array(
      z.object({ version: z.string(), gateways: z.int(), state: z.enum(['published', 'withdrawn', 'unknown']) }),
    ),
    /** At most 20 of the gateways, in order of id; the selector `app/NAME=VERSION` gives all. */
    examples: z.array(z.object({ id: z.string(), version: z.string() })),
    /** Running rollouts that ask for it by name, with a range that one of these versions fits. */
    rollouts: z.int(),
    dependents: z.array(dependentSchema),
    /** How many more dependents there are than are listed. */
    moreDependents: z.int(),
  })
  .meta({ id: 'ArtifactUsage' });
export type ArtifactUsage = z.infer<typeof artifactUsageSchema>;

export interface NeededVersion {
  name: string;
  /** Versions that would do and are not withdrawn, newest first. */
  versions: string[];
  /**
   * What the first of them needs in turn. `cycle`: it stands above already, on the way from the root; `again`: its needs
   * stand elsewhere in the tree, once.
   */
  mark?: 'cycle' | 'again' | undefined;
  needs: Need[];
}
export interface Need {
  /** `svm ^1.2.0`, `capability java >=11`, `optional modbus`, `jvm >=17 or capability java >=17`. */
  text: string;
  /** One of these; most needs have one only. */
  alternatives: { kind: 'artifact' | 'capability'; name: string; range: string }[];
  /** True: taken along where it can be had. */
  optional: boolean;
  /** Only the builds for these platforms have it; absent = every build. */
  platforms?: string[] | undefined;
  /** The artifacts that would do, in the order of the alternatives. A capability may be the gateway's own. Empty: nobody offers it. */
  candidates: NeededVersion[];
}

export const needSchema: z.ZodType<Need> = z
  .object({
    text: z.string(),
    alternatives: z.array(z.object({ kind: z.enum(['artifact', 'capability']), name: z.string(), range: z.string() })),
    optional: z.boolean(),
    platforms: z.array(z.string()).optional(),
    candidates: z.array(z.lazy(() => neededVersionSchema)),
  })
  .meta({ id: 'Need' });
export const neededVersionSchema: z.ZodType<NeededVersion> = z
  .object({
    name: z.string(),
    versions: z.array(z.string()),
    mark: z.enum(['cycle', 'again']).optional(),
    needs: z.array(z.lazy(() => needSchema)),
  })
  .meta({ id: 'NeededVersion' });

/** What a version brings in, all the way down. */
export const artifactNeedsSchema = z
  .object({ name: artifactNameSchema, version: versionSchema, withdrawn: z.boolean(), needs: z.array(needSchema) })
  .meta({ id: 'ArtifactNeeds' });
export type ArtifactNeeds = z.infer<typeof artifactNeedsSchema>;
