/** From the deploymentBase document to what LEONORE's agent works with. Pure. */
import {
  CHUNK_METADATA,
  type DdiDeployment,
  encodingSchema,
  LEONORE_PART,
  LeonoreError,
  packageIdSchema,
  sha256Schema,
} from '@leonore/protocol';
import { z } from 'zod';

const digits = z
  .string()
  .regex(/^\d{1,15}$/, 'is not a whole number')
  .transform(Number);

const metadataSchema = z.object({
  [CHUNK_METADATA.packageId]: packageIdSchema,
  [CHUNK_METADATA.gatewayClass]: z.string().min(1),
  [CHUNK_METADATA.sequence]: digits,
  [CHUNK_METADATA.expires]: digits,
  [CHUNK_METADATA.encoding]: encodingSchema,
  [CHUNK_METADATA.headerSha256]: sha256Schema,
  [CHUNK_METADATA.headerSize]: digits.pipe(z.int().min(1)),
});
type Metadata = z.infer<typeof metadataSchema>;

/** One task of this gateway: which package, how to check it, where it lies. */
export interface AgentTask {
  /** Names the action in feedback. */
  readonly actionId: string;
  readonly packageId: Metadata['leonore.package'];
  /** Never falls for one gateway. */
  readonly sequence: number;
  /** Milliseconds since 1970; after it the task is refused. */
  readonly expires: number;
  readonly encoding: Metadata['leonore.encoding'];
  readonly headerSha256: Metadata['leonore.header-sha256'];
  /** Bytes. */
  readonly headerSize: number;
  /** Bytes of the whole package. */
  readonly size: number;
  readonly url: string;
  readonly gatewayClass: string;
}

/** @throws LeonoreError `agent.unsupported`: not a task for LEONORE's own agent; says what is missing. */
export function parseTask(deployment: DdiDeployment): AgentTask {
  const [chunk, ...others] = deployment.deployment.chunks;
  if (!chunk || others.length > 0 || chunk.part !== LEONORE_PART) {
    throw unsupported(deployment, `it has not exactly one chunk of part "${LEONORE_PART}"`);
  }
  const [artifact, ...more] = chunk.artifacts;
  if (!artifact || more.length > 0) throw unsupported(deployment, 'its chunk has not exactly one artifact');
  const url = artifact._links.download?.href ?? artifact._links['download-http']?.href;
  if (url === undefined) throw unsupported(deployment, 'its artifact has no download link');
  const metadata = metadataSchema.safeParse(
    Object.fromEntries((chunk.metadata ?? []).map(({ key, value }) => [key, value])),
  );
  if (!metadata.success) {
    const faults = metadata.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`);
    throw unsupported(deployment, `its metadata is not what this agent needs (${faults.join('; ')})`);
  }
  const found = metadata.data;
  if (!Number.isSafeInteger(artifact.size) || artifact.size < found[CHUNK_METADATA.headerSize]) {
    throw unsupported(deployment, `a size of ${artifact.size} bytes cannot hold its header`);
  }
  return {
    actionId: deployment.id,
    packageId: found[CHUNK_METADATA.packageId],
    sequence: found[CHUNK_METADATA.sequence],
    expires: found[CHUNK_METADATA.expires],
    encoding: found[CHUNK_METADATA.encoding],
    headerSha256: found[CHUNK_METADATA.headerSha256],
    headerSize: found[CHUNK_METADATA.headerSize],
    size: artifact.size,
    url,
    gatewayClass: found[CHUNK_METADATA.gatewayClass],
  };
}

function unsupported(deployment: DdiDeployment, why: string): LeonoreError {
  return new LeonoreError('agent.unsupported', `task ${deployment.id} is not one this agent can do: ${why}`);
}
