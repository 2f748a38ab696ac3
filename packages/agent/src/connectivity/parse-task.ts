/**
 * From the deploymentBase document to what LEONORE's agent works with, or why it does not. Pure. Whether the package is
 * what the task says is found out when it comes.
 */
import { DEFAULT_ARCHIVE_LIMITS } from '@leonore/app-package';
import {
  CHUNK_METADATA,
  type DdiDeployment,
  type DeltaOffer,
  deltaOfferSchema,
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

/** As `deltaOffersSchema` has it. */
const MAX_OFFERS = 500;

const metadataSchema = z.object({
  [CHUNK_METADATA.packageId]: packageIdSchema,
  [CHUNK_METADATA.gatewayClass]: z.string().min(1),
  [CHUNK_METADATA.gateway]: z.string().optional(),
  [CHUNK_METADATA.sequence]: digits,
  [CHUNK_METADATA.expires]: digits,
  [CHUNK_METADATA.encoding]: encodingSchema,
  [CHUNK_METADATA.headerSha256]: sha256Schema,
  [CHUNK_METADATA.headerSize]: digits.pipe(z.int().min(1)),
});
const deltaListSchema = z.array(z.unknown()).max(MAX_OFFERS);
type Metadata = z.infer<typeof metadataSchema>;

/** Whose tasks are taken, and from where their bytes may come. */
export interface TaskRules {
  readonly gatewayId: string;
  /** Base address of the server; links that lead to it are followed. */
  readonly server: string;
  /** Other places that links may lead to: HOST for any port of it, or HOST:PORT. */
  readonly hosts?: readonly string[] | undefined;
}

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
  /** Other ways to the content of components, where the server has some. They need no trust: see DeltaOffer. */
  readonly deltas: readonly DeltaOffer[];
  /** Names of components that are meant to go down to an older version. */
  readonly downgrade?: readonly string[];
  /** What is wrong with the offers of deltas that cannot be read: such are left out, the package is there all the same. */
  readonly deltaFault?: string;
}

/**
 * Without `rules` it may be for anybody and lie anywhere.
 * @throws LeonoreError `agent.unsupported`: not a task for LEONORE's own agent, or not for this one; says why.
 */
export function parseTask(deployment: DdiDeployment, rules?: TaskRules): AgentTask {
  const [chunk, ...others] = deployment.deployment.chunks;
  if (!chunk || others.length > 0 || chunk.part !== LEONORE_PART) {
    throw unsupported(deployment, `it has not exactly one chunk of part "${LEONORE_PART}"`);
  }
  const [artifact, ...more] = chunk.artifacts;
  if (!artifact || more.length > 0) throw unsupported(deployment, 'its chunk has not exactly one artifact');
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
  const { maxHeaderBytes } = DEFAULT_ARCHIVE_LIMITS;
  if (found[CHUNK_METADATA.headerSize] > maxHeaderBytes) {
    throw unsupported(
      deployment,
      `a header has at most ${maxHeaderBytes} bytes, not ${found[CHUNK_METADATA.headerSize]}`,
    );
  }
  const meant = found[CHUNK_METADATA.gateway];
  if (rules && meant !== undefined && meant !== rules.gatewayId) {
    throw unsupported(deployment, `it is for gateway ${quoted(meant)}, this one is ${rules.gatewayId}`);
  }
  const link = artifact._links.download?.href ?? artifact._links['download-http']?.href;
  if (link === undefined) throw unsupported(deployment, 'its artifact has no download link');
  const { url, fault } = readLink(link, rules);
  if (fault !== undefined) throw unsupported(deployment, `its package lies at ${fault}`);
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
    ...parseDowngrade(chunk.metadata?.find(({ key }) => key === CHUNK_METADATA.downgrade)?.value),
    ...parseDeltas(chunk.metadata?.find(({ key }) => key === CHUNK_METADATA.deltas)?.value, rules),
  };
}

/** What cannot be read allows nothing. */
function parseDowngrade(text: string | undefined): Pick<AgentTask, 'downgrade'> {
  if (text === undefined) return {};
  try {
    return { downgrade: z.array(z.string()).parse(JSON.parse(text)) };
  } catch {
    return {};
  }
}

/** Each offer by itself: kinds that this agent does not know stand beside those that it does. */
function parseDeltas(text: string | undefined, rules: TaskRules | undefined): Pick<AgentTask, 'deltas' | 'deltaFault'> {
  if (text === undefined) return { deltas: [] };
  try {
    const offers = deltaListSchema.parse(JSON.parse(text)).map((offer) => deltaOfferSchema.safeParse(offer));
    const read = offers.flatMap(({ data }) => data ?? []);
    const deltas = read.filter(({ href }) => readLink(href, rules).fault === undefined);
    const faults = [
      ...(read.length < offers.length
        ? [`${offers.length - read.length} of ${offers.length} are of another form`]
        : []),
      ...(deltas.length < read.length ? [`${read.length - deltas.length} of ${offers.length} lie elsewhere`] : []),
    ];
    return { deltas, ...(faults.length > 0 ? { deltaFault: faults.join(', ') } : {}) };
  } catch (error) {
    return { deltas: [], deltaFault: error instanceof SyntaxError ? 'they are no JSON' : 'they are no list of offers' };
  }
}

/** `fault`: where it leads and why that is no place to go to. */
function readLink(link: string, rules: TaskRules | undefined): { readonly url: string; readonly fault?: string } {
  if (!rules) return { url: link };
  const { server, hosts = [] } = rules;
  const url = URL.parse(link, server);
  if (!url || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    return { url: link, fault: `${quoted(link)}, which is no address of http or https` };
  }
  const { origin } = new URL(server);
  const port = url.port === '' ? (url.protocol === 'https:' ? '443' : '80') : url.port;
  const names = [url.hostname, `${url.hostname}:${port}`];
  const isAllowed = url.origin === origin || hosts.some((host) => names.includes(host));
  if (isAllowed) return { url: url.href };
  const places = [origin, ...hosts].join(', ');
  return {
    url: link,
    fault: `${quoted(url.origin)}; this gateway takes bytes from ${places} only. If that is meant start the agent with --allow-host ${url.host}`,
  };
}

/** What somebody else has written, for a report. */
function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 200));
}

function unsupported(deployment: DdiDeployment, why: string): LeonoreError {
  return new LeonoreError('agent.unsupported', `task ${deployment.id} is not one this agent can do: ${why}`);
}
