/** The install plan, or why there is none: the answer of dependency management, as data. */
import { z } from 'zod';
import { platformSchema, rangeSchema, versionSchema } from './artifact.ts';
import { artifactNameSchema, sha256Schema } from './ids.ts';

/** An application somebody wants: `svm`, `svm@^1.2`. */
export const applicationRequestSchema = z
  .object({ name: artifactNameSchema, range: rangeSchema.default('*') })
  .meta({ id: 'ApplicationRequest' });
export type ApplicationRequest = z.infer<typeof applicationRequestSchema>;

export const planStepSchema = z
  .object({
    action: z.enum(['install', 'update', 'keep']),
    name: artifactNameSchema,
    version: versionSchema,
    platform: platformSchema,
    /** Names the build's content; absent for `keep` of a version the repository does not know. */
    contentSha256: sha256Schema.optional(),
    /** The version that is there now, for `update`. */
    from: versionSchema.optional(),
    requested: z.boolean(),
    /** Why it is there, in words: `requested`, or `building-monitor 1.4.2 needs it (^1.2.0)`. */
    because: z.string(),
    /** Components of the plan that must come before this one. */
    after: z.array(artifactNameSchema),
  })
  .meta({ id: 'PlanStep' });
export type PlanStep = z.infer<typeof planStepSchema>;

export const installPlanSchema = z
  .object({
    /** In install order: what is needed comes first. */
    steps: z.array(planStepSchema),
    /** In the order of removal: what needs others goes first. */
    remove: z.array(z.object({ name: artifactNameSchema, version: versionSchema, because: z.string() })),
  })
  .meta({ id: 'InstallPlan' });
export type InstallPlan = z.infer<typeof installPlanSchema>;

/** One true fact out of which an explanation is made. `text` says it to people; `kind` and the rest to machines. */
export const explanationFactSchema = z
  .object({
    kind: z.enum([
      'requested',
      'requires',
      'capability',
      'any-of',
      'optional',
      'conflict',
      'platform',
      'resource',
      'unknown',
      'no-version',
      'withdrawn',
      'cycle',
      'limit',
    ]),
    text: z.string(),
    subject: z.string().optional(),
    object: z.string().optional(),
  })
  .meta({ id: 'ExplanationFact' });
export type ExplanationFact = z.infer<typeof explanationFactSchema>;

export const explanationSchema = z
  .object({
    /** One sentence: what cannot be had. */
    summary: z.string(),
    facts: z.array(explanationFactSchema),
    /** What would fit instead, in words, best first; may be empty. */
    suggestions: z.array(z.string()),
  })
  .meta({ id: 'Explanation' });
export type Explanation = z.infer<typeof explanationSchema>;

export const resolutionSchema = z
  .discriminatedUnion('outcome', [
    z.object({ outcome: z.literal('plan'), plan: installPlanSchema }),
    z.object({ outcome: z.literal('unsatisfiable'), explanation: explanationSchema }),
  ])
  .meta({ id: 'Resolution' });
export type Resolution = z.infer<typeof resolutionSchema>;

/** Reads `NAME` or `NAME@RANGE`. Throws a ZodError when either is malformed. */
export function parseApplicationRequest(text: string): ApplicationRequest {
  const at = text.indexOf('@');
  return applicationRequestSchema.parse(
    at < 0 ? { name: text } : { name: text.slice(0, at), range: text.slice(at + 1) },
  );
}
