/**
 * The calls of a node's user-facing API, each with its types. One method is one request, but for the iterators
 * (`all`, `events`) and `uploadFile`, which make as many as they need.
 * Every method throws LeonoreError; `server.unreachable` names the address.
 */
import {
  type ApplicationRequest,
  artifactNeedsSchema,
  artifactSchema,
  artifactUsageSchema,
  type CreateRollout,
  createdGatewaySchema,
  type createGatewaySchema,
  type createRolloutSchema,
  type createTokenSchema,
  enrolmentTokenSchema,
  explainAnswerSchema,
  explainClassesAnswerSchema,
  gatewaySchema,
  LeonoreError,
  nodeInfoSchema,
  type PublishRequest,
  packageDetailsSchema,
  packageDiffSchema,
  packageSummarySchema,
  pageSchema,
  type patchGatewaySchema,
  rolloutSchema,
  type Sha256,
  type TaskState,
  taskSchema,
  type UploadStatus,
  uploadStatusSchema,
  collectionSchema,
  storeStatusSchema,
  verificationSchema,
} from '@leonore/protocol';
import { z } from 'zod';
import { type EventOptions, readEvents } from './events.ts';
import { type CallOptions, createHttp, type Http, type HttpOptions } from './http.ts';
import { iteratePages } from './pages.ts';
import { openFileSource, openUpload, type UploadOptions, type UploadSource, upload } from './upload.ts';

export type ClientOptions = HttpOptions;
export type Client = ReturnType<typeof createClient>;

export interface PageOptions extends CallOptions {
  readonly cursor?: string | undefined;
  /** Items on a page, at most 1000. */
  readonly limit?: number | undefined;
}
type Listing<Filter> = PageOptions & Filter;
/** A list without a filter of its own. */
type Unfiltered = { readonly filter?: never };

const API = '/api/v1';
/** CycloneDX in JSON; read it with what knows its schema. */
const sbomSchema = z.looseObject({ bomFormat: z.literal('CycloneDX'), specVersion: z.string() });
const withdrawnSchema = z.object({ withdrawn: z.int() });
const PAGE_SIZE = 500;

/** A name or id as one part of a path: `..` and `.` would be resolved away by the URL parser, so nobody gets to send them. */
function part(text: string): string {
  if (text === '' || text === '.' || text === '..') {
    throw new LeonoreError('request.invalid', `"${text}" is no name or id; give the one that a list shows`);
  }
  return encodeURIComponent(text);
}

export function createClient(options: ClientOptions) {
  const http = createHttp(options);
  return {
    baseUrl: http.baseUrl,
    info: (call: CallOptions = {}) => http.json(nodeInfoSchema, { path: `${API}/info`, ...call }),
    artifacts: artifactCalls(http),
    packages: packageCalls(http),
    gateways: gatewayCalls(http),
    tokens: tokenCalls(http),
    rollouts: rolloutCalls(http),
    store: storeCalls(http),
    task: (id: number | string, call: CallOptions = {}) =>
      http.json(taskSchema, { path: `${API}/tasks/${part(String(id))}`, ...call }),
    /** The install plan of a gateway for these applications, or why there is none. */
    explain: (
      request: { applications: readonly ApplicationRequest[]; gateway: string; upgrade?: boolean },
      call: CallOptions = {},
    ) => http.json(explainAnswerSchema, { method: 'POST', path: `${API}/explain`, json: request, ...call }),
    /** The same for each class of the gateways that a selector names, with how many are of it. */
    explainClasses: (
      request: { applications: readonly ApplicationRequest[]; selector: string; upgrade?: boolean },
      call: CallOptions = {},
    ) => http.json(explainClassesAnswerSchema, { method: 'POST', path: `${API}/explain`, json: request, ...call }),
    /** Endless, connects again by itself; abort the signal to end it. */
    events: (eventOptions: EventOptions = {}) => readEvents(http, eventOptions),
    ...uploadCalls(http),
  };
}

/** A list as single pages (`list`) and as one iterator over all of them (`all`). */
function listing<T extends z.ZodType, Filter extends object>(
  http: Http,
  item: T,
  path: string,
): {
  list(query?: Listing<Filter>): Promise<z.infer<ReturnType<typeof pageSchema<T>>>>;
  all(query?: Filter & CallOptions): AsyncGenerator<z.infer<T>, void, undefined>;
} {
  const schema = pageSchema(item);
  const list = (query: Listing<Filter> = {} as Listing<Filter>) => {
    const { signal, ...rest } = query;
    return http.json(schema, { path, query: rest as Record<string, string | number | undefined>, signal });
  };
  return {
    list,
    all: (query = {} as Filter & CallOptions) => iteratePages((cursor) => list({ limit: PAGE_SIZE, ...query, cursor })),
  };
}

function artifactCalls(http: Http) {
  const builds = z.object({ items: z.array(artifactSchema) });
  return {
    ...listing<typeof artifactSchema, { readonly name?: string | undefined }>(http, artifactSchema, `${API}/artifacts`),
    /** Every build of a name, or of one of its versions; newest version first. */
    async builds(name: string, version?: string, call: CallOptions = {}) {
      const path = `${API}/artifacts/${part(name)}${version === undefined ? '' : `/${part(version)}`}`;
      return (await http.json(builds, { path, ...call })).items;
    },
    /** `created` is false when the same build was there already. Its segments must be uploaded before. */
    async publish(request: PublishRequest, call: CallOptions = {}) {
      const sent = { method: 'POST', path: `${API}/artifacts`, json: request, ...call };
      const { body, status } = await http.jsonAndStatus(artifactSchema, sent);
      return { artifact: body, created: status === 201 };
    },
    /** Which gateways run it, of all versions or those in a range, and which artifacts need it. */
    usage: (
      name: string,
      query: { range?: string | undefined; transitive?: boolean | undefined } = {},
      call: CallOptions = {},
    ) => {
      const { range, transitive } = query;
      const words = { range, transitive: transitive === undefined ? undefined : String(transitive) };
      return http.json(artifactUsageSchema, { path: `${API}/artifacts/${part(name)}/usage`, query: words, ...call });
    },
    /** What a version needs, all the way down. */
    needs: (name: string, version: string, call: CallOptions = {}) =>
      http.json(artifactNeedsSchema, { path: `${API}/artifacts/${part(name)}/${part(version)}/needs`, ...call }),
    /** Takes every build of a version out of what can be provisioned. Says how many. */
    async withdraw(name: string, version: string, reason: string, call: CallOptions = {}) {
      const path = `${API}/artifacts/${part(name)}/${part(version)}/withdraw`;
      return (await http.json(withdrawnSchema, { method: 'POST', path, json: { reason }, ...call })).withdrawn;
    },
  };
}

function packageCalls(http: Http) {
  return {
    ...listing<typeof packageSummarySchema, Unfiltered>(http, packageSummarySchema, `${API}/packages`),
    get: (id: string, call: CallOptions = {}) =>
      http.json(packageDetailsSchema, { path: `${API}/packages/${part(id)}`, ...call }),
    /** What changes on a gateway that has the first and gets the second, and the bytes that go over the air for it. */
    diff: (from: string, to: string, call: CallOptions = {}) =>
      http.json(packageDiffSchema, { path: `${API}/packages/${part(from)}/diff`, query: { to }, ...call }),
    sbom: (id: string, query: { files?: boolean } = {}, call: CallOptions = {}) =>
      readSbom(http, `${API}/packages/${part(id)}/sbom`, query, call),
    /** Reads its blobs from the disk and compares their digests. */
    verify: (id: string, call: CallOptions = {}) =>
      http.json(verificationSchema, { method: 'POST', path: `${API}/packages/${part(id)}/verify`, ...call }),
    /** The bytes, from `offset` on. The caller reads the body and compares the status: 206 = from the offset, 200 = from the start. */
    download: (sha256: Sha256, range: { offset?: number } = {}, call: CallOptions = {}) =>
      http.send({
        path: `/packages/${sha256}`,
        headers: { accept: '*/*', ...(range.offset ? { range: `bytes=${range.offset}-` } : {}) },
        ...call,
      }),
  };
}

function readSbom(http: Http, path: string, { files = false }: { files?: boolean }, call: CallOptions) {
  return http.json(sbomSchema, { path, query: { files: String(files) }, ...call });
}

function gatewayCalls(http: Http) {
  const path = `${API}/gateways`;
  const one = (id: string) => `${path}/${part(id)}`;
  return {
    ...listing<typeof gatewaySchema, { readonly selector?: string | undefined }>(http, gatewaySchema, path),
    get: (id: string, call: CallOptions = {}) => http.json(gatewaySchema, { path: one(id), ...call }),
    /** Makes a gateway known before it comes; the answer holds the token it shall use. */
    create: (gateway: z.input<typeof createGatewaySchema>, call: CallOptions = {}) =>
      http.json(createdGatewaySchema, { method: 'POST', path, json: gateway, ...call }),
    /** Labels as a merge patch: null takes one away. */
    label: (id: string, labels: z.infer<typeof patchGatewaySchema>['labels'], call: CallOptions = {}) =>
      http.json(gatewaySchema, { method: 'PATCH', path: one(id), json: { labels }, ...call }),
    /** With its next poll it is asked anew what it says of itself. */
    refresh: (id: string, call: CallOptions = {}) =>
      http.json(gatewaySchema, { method: 'POST', path: `${one(id)}/refresh`, ...call }),
    remove: (id: string, call: CallOptions = {}) => http.none({ method: 'DELETE', path: one(id), ...call }),
    /** Of what it says is installed. */
    sbom: (id: string, query: { files?: boolean } = {}, call: CallOptions = {}) =>
      readSbom(http, `${one(id)}/sbom`, query, call),
    /** Newest first, with their transitions. */
    tasks: (id: string) => listing<typeof taskSchema, Unfiltered>(http, taskSchema, `${one(id)}/tasks`),
  };
}

function tokenCalls(http: Http) {
  const path = `${API}/enrolment-tokens`;
  const items = z.object({ items: z.array(enrolmentTokenSchema) });
  return {
    /** The only answer that holds the token itself. */
    create: (token: z.input<typeof createTokenSchema> = {}, call: CallOptions = {}) =>
      http.json(enrolmentTokenSchema, { method: 'POST', path, json: token, ...call }),
    list: async (call: CallOptions = {}) => (await http.json(items, { path, ...call })).items,
    revoke: (id: string, call: CallOptions = {}) =>
      http.none({ method: 'DELETE', path: `${path}/${part(id)}`, ...call }),
  };
}

function rolloutCalls(http: Http) {
  const path = `${API}/rollouts`;
  const one = (id: number | string) => `${path}/${part(String(id))}`;
  const act = (action: 'pause' | 'resume' | 'abort' | 'retry') => {
    return (id: number | string, call: CallOptions = {}) =>
      http.json(rolloutSchema, { method: 'POST', path: `${one(id)}/${action}`, ...call });
  };
  return {
    ...listing<typeof rolloutSchema, Unfiltered>(http, rolloutSchema, path),
    create: (rollout: z.input<typeof createRolloutSchema> | CreateRollout, call: CallOptions = {}) =>
      http.json(rolloutSchema, { method: 'POST', path, json: rollout, ...call }),
    get: (id: number | string, call: CallOptions = {}) => http.json(rolloutSchema, { path: one(id), ...call }),
    pause: act('pause'),
    resume: act('resume'),
    abort: act('abort'),
    /** Makes new tasks for the gateways whose task failed. */
    retry: act('retry'),
    tasks: (id: number | string) =>
      listing<typeof taskSchema, { readonly state?: TaskState | undefined }>(http, taskSchema, `${one(id)}/tasks`),
  };
}

function storeCalls(http: Http) {
  const path = `${API}/store`;
  return {
    status: (call: CallOptions = {}) => http.json(storeStatusSchema, { path, ...call }),
    /** Reads blobs for about two seconds; where there are more, `next` is what `after` of the following call is. */
    verify: (query: { after?: Sha256 | undefined } = {}, call: CallOptions = {}) =>
      http.json(verificationSchema, { method: 'POST', path: `${path}/verify`, json: query, ...call }),
    /** Takes away now what nothing needs. */
    collect: (call: CallOptions = {}) =>
      http.json(collectionSchema, { method: 'POST', path: `${path}/collect`, ...call }),
  };
}

function uploadCalls(http: Http) {
  return {
    uploads: {
      /** Opens an upload, or finds the one that was begun; `offset` says where to go on. */
      open: (sha256: Sha256, size: number, call: CallOptions = {}) => openUpload(http, sha256, size, call),
      get: (sha256: Sha256, call: CallOptions = {}): Promise<UploadStatus> =>
        http.json(uploadStatusSchema, { path: `${API}/uploads/${sha256}`, ...call }),
    },
    /** Uploads bytes from anywhere; goes on where an earlier try stopped. */
    upload: (source: UploadSource, sha256: Sha256, uploadOptions: UploadOptions = {}) =>
      upload(http, source, sha256, uploadOptions),
    /** Uploads a file of `size` bytes; goes on where an earlier try stopped. Node only. */
    async uploadFile(file: string, sha256: Sha256, size: number, uploadOptions: UploadOptions = {}) {
      await using source = await openFileSource(file);
      if (source.size !== size) {
        throw new LeonoreError(
          'upload.digest',
          `${file} has ${source.size} bytes, not the ${size} that were announced`,
        );
      }
      return await upload(http, source, sha256, uploadOptions);
    },
  };
}
