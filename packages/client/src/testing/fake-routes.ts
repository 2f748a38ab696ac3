/** What the fake node answers: the user-facing API over plain maps. */
import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import {
  type Artifact,
  createGatewaySchema,
  createRolloutSchema,
  createTokenSchema,
  EMPTY_PROFILE,
  type ErrorCode,
  type ExplainClassesAnswer,
  explainRequestSchema,
  type Gateway,
  LeonoreError,
  NO_TASKS,
  patchGatewaySchema,
  publishRequestSchema,
  type Rollout,
  type RolloutId,
  type RolloutState,
  rolloutIdSchema,
  sha256Schema,
} from '@leonore/protocol';
import { z } from 'zod';
import type { FakeNode } from './fake-node.ts';

type Params = Readonly<Record<string, string>>;
interface Exchange {
  readonly params: Params;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage['headers'];
  readonly body: <T extends z.ZodType>(schema: T) => z.infer<T>;
  readonly raw: Buffer;
}
type Answer = { status?: number; json?: unknown; bytes?: Buffer; headers?: Record<string, string> };
export type Handler = (exchange: Exchange) => Answer;

const PAGE_LIMIT = 100;

export function fail(code: ErrorCode, message: string, details?: Record<string, unknown>): never {
  throw new LeonoreError(code, message, details ? { details } : {});
}

function page<T>(items: readonly T[], query: URLSearchParams): { items: readonly T[]; next?: string } {
  const from = Number(query.get('cursor') ?? 0);
  const limit = Math.min(Number(query.get('limit') ?? PAGE_LIMIT), PAGE_LIMIT);
  const to = from + limit;
  return { items: items.slice(from, to), ...(to < items.length ? { next: String(to) } : {}) };
}

export function createRoutes(node: FakeNode): Record<string, Handler> {
  return {
    'GET /api/v1/info': () => ({ json: { name: 'leonore', version: '0.1.0', tenant: 'default' } }),
    ...uploadRoutes(node),
    ...artifactRoutes(node),
    ...gatewayRoutes(node),
    ...tokenRoutes(node),
    ...rolloutRoutes(node),
    'POST /api/v1/explain': ({ body }) => {
      const request = body(explainRequestSchema);
      if (request.gateway === undefined) return { json: explainAll(node, request.selector ?? '*') };
      if (!node.gateways.has(request.gateway)) fail('gateway.unknown', `there is no gateway ${request.gateway}`);
      return { json: { gateway: request.gateway, resolution: node.resolution } };
    },
    'GET /api/v1/packages': ({ query }) => ({ json: page([...node.packages.values()], query) }),
    'GET /api/v1/packages/:id': ({ params }) => ({
      json: node.packages.get(params['id'] ?? '') ?? fail('package.unknown', `there is no package ${params['id']}`),
    }),
    'GET /api/v1/packages/:id/diff': ({ params, query }) => {
      const [from, to] = [params['id'] ?? '', query.get('to') ?? ''];
      for (const id of [from, to]) if (!node.packages.has(id)) fail('package.unknown', `there is no package ${id}`);
      return { json: { from, to, ...node.packageDiff } };
    },
    'POST /api/v1/packages/:id/verify': ({ params: { id = '' } }) => {
      if (!node.packages.has(id)) fail('package.unknown', `there is no package ${id}`);
      return { json: node.verifications.at(-1) };
    },
    'GET /api/v1/store': () => ({ json: node.store }),
    'POST /api/v1/store/verify': ({ body }) => {
      const { after } = body(z.object({ after: sha256Schema.optional() }));
      const slice = node.verifications.findIndex(({ next }) => next === after && after !== undefined) + 1;
      return { json: node.verifications[slice] };
    },
    'POST /api/v1/store/collect': () => ({ json: node.collection }),
    'GET /api/v1/packages/:id/sbom': ({ params: { id = '' }, query }) => {
      if (!node.packages.has(id)) fail('package.unknown', `there is no package ${id}`);
      return { json: sbom(id, query) };
    },
    'GET /packages/:sha256': ({ params, headers }) => {
      const found = [...node.packages.values()].find((one) => one.sha256 === params['sha256']);
      if (!found) return fail('package.unknown', 'there is no such package');
      const from = /^bytes=(\d+)-$/.exec(headers.range ?? '');
      return from
        ? { status: 206, bytes: found.bytes.subarray(Number(from[1])) }
        : { bytes: found.bytes, headers: { etag: `"${found.sha256}"` } };
    },
  };
}

/** The frame of one, with what was asked for. */
function sbom(name: string, query: URLSearchParams) {
  const properties = [{ name: 'files', value: query.get('files') }];
  return { bomFormat: 'CycloneDX', specVersion: '1.6', metadata: { component: { name, properties } } };
}

function uploadRoutes(node: FakeNode): Record<string, Handler> {
  const status = (sha256: string) => {
    const upload = node.uploads.get(sha256) ?? fail('upload.unknown', 'there is no such upload');
    const offset = upload.bytes.length;
    return { json: { sha256, size: upload.size, offset, complete: offset === upload.size } };
  };
  return {
    'PUT /api/v1/uploads/:sha256': ({ params, raw }) => {
      const sha256 = params['sha256'] ?? '';
      const { size } = JSON.parse(raw.toString()) as { size: number };
      if (!node.uploads.has(sha256)) node.uploads.set(sha256, { size, bytes: Buffer.alloc(0) });
      return status(sha256);
    },
    'GET /api/v1/uploads/:sha256': ({ params }) => status(params['sha256'] ?? ''),
    'PATCH /api/v1/uploads/:sha256': ({ params, headers, raw }) => {
      const sha256 = params['sha256'] ?? '';
      const upload = node.uploads.get(sha256) ?? fail('upload.unknown', 'there is no such upload');
      const offset = Number(headers['upload-offset']);
      if (offset !== upload.bytes.length) {
        fail('upload.offset', `go on at ${upload.bytes.length}`, { offset: upload.bytes.length });
      }
      upload.bytes = Buffer.concat([upload.bytes, raw]);
      if (upload.bytes.length === upload.size && digest(upload.bytes) !== sha256) {
        node.uploads.delete(sha256);
        fail('upload.digest', 'the uploaded bytes do not have the announced digest');
      }
      return status(sha256);
    },
  };
}

/** Every gateway is a class of its own. */
function explainAll(node: FakeNode, selector: string): ExplainClassesAnswer {
  if (node.gateways.size === 0) fail('selector.no-match', `no gateway matches "${selector}"`);
  const classes = [...node.gateways.values()].map(({ id, profile: { os, arch, libc } }) => {
    return { gateways: 1, example: id, platform: { os, arch, libc }, resolution: node.resolution };
  });
  return { selector, gateways: classes.length, classes };
}

const digest = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

function artifactRoutes(node: FakeNode): Record<string, Handler> {
  const builds = (name?: string, version?: string) => {
    const found = node.artifacts.filter(
      ({ manifest }) => manifest.name === name && (version === undefined || manifest.version === version),
    );
    return found.length > 0 ? found : fail('artifact.unknown', `there is no artifact ${name} ${version ?? ''}`.trim());
  };
  return {
    'POST /api/v1/artifacts': ({ body }) => {
      const { manifest, segments } = body(publishRequestSchema);
      for (const { sha256, size } of segments) {
        if (node.uploads.get(sha256)?.bytes.length !== size) fail('artifact.segment-missing', `upload ${sha256} first`);
      }
      const same = node.artifacts.find(
        (one) => one.manifest.name === manifest.name && one.manifest.version === manifest.version,
      );
      if (same) {
        const equal = same.segments.every((segment, index) => segment.sha256 === segments[index]?.sha256);
        return equal ? { json: same } : fail('artifact.conflict', `${manifest.name} ${manifest.version} exists`);
      }
      const artifact = {
        manifest,
        contentSha256: segments[0]?.sha256 ?? fail('request.invalid', 'no segment'),
        unpackedSize: 1000,
        fileCount: 2,
        segments,
        publishedAt: Date.now(),
      } satisfies Artifact;
      node.artifacts.unshift(artifact);
      return { status: 201, json: artifact };
    },
    'GET /api/v1/artifacts': ({ query }) => {
      const name = query.get('name');
      return {
        json: page(
          node.artifacts.filter((one) => name === null || one.manifest.name === name),
          query,
        ),
      };
    },
    'GET /api/v1/artifacts/:name': ({ params }) => ({ json: { items: builds(params['name']) } }),
    'GET /api/v1/artifacts/:name/usage': ({ params, query }) => {
      const [{ manifest }] = builds(params['name']) as [Artifact];
      const range = query.get('range');
      return { json: { name: manifest.name, ...(range === null ? {} : { range }), ...node.usage } };
    },
    'GET /api/v1/artifacts/:name/:version/needs': ({ params }) => {
      const [{ manifest, withdrawnAt }] = builds(params['name'], params['version']) as [Artifact];
      const { name, version } = manifest;
      return { json: { name, version, withdrawn: withdrawnAt !== undefined, needs: node.needs } };
    },
    'GET /api/v1/artifacts/:name/:version': ({ params }) => ({
      json: { items: builds(params['name'], params['version']) },
    }),
    'POST /api/v1/artifacts/:name/:version/withdraw': ({ params, raw }) => {
      const { reason } = JSON.parse(raw.toString()) as { reason: string };
      const found = builds(params['name'], params['version']);
      for (const one of found) Object.assign(one, { withdrawnAt: Date.now(), withdrawnReason: reason });
      return { json: { withdrawn: found.length } };
    },
  };
}

function gatewayRoutes(node: FakeNode): Record<string, Handler> {
  const one = (id = '') => node.gateways.get(id) ?? fail('gateway.unknown', `there is no gateway ${id}`);
  return {
    'GET /api/v1/gateways': ({ query }) => ({ json: page([...node.gateways.values()], query) }),
    'POST /api/v1/gateways': ({ body }) => {
      const { id, labels, token = 'made-by-the-node', profile = EMPTY_PROFILE } = body(createGatewaySchema);
      if (node.gateways.has(id)) fail('gateway.taken', `there already is a gateway ${id}`);
      const gateway: Gateway = { id, profile, labels, connected: false, enrolledAt: Date.now(), desired: [] };
      node.gateways.set(id, gateway);
      return { status: 201, json: { gateway, token } };
    },
    'GET /api/v1/gateways/:id': ({ params }) => ({ json: one(params['id']) }),
    'PATCH /api/v1/gateways/:id': ({ params, body }) => {
      const gateway = one(params['id']);
      for (const [key, value] of Object.entries(body(patchGatewaySchema).labels)) {
        if (value === null) delete gateway.labels[key];
        else gateway.labels[key] = value;
      }
      return { json: gateway };
    },
    'DELETE /api/v1/gateways/:id': ({ params }) => {
      one(params['id']);
      node.gateways.delete(params['id'] ?? '');
      return {};
    },
    'GET /api/v1/gateways/:id/sbom': ({ params, query }) => ({ json: sbom(one(params['id']).id, query) }),
    'GET /api/v1/gateways/:id/tasks': ({ params, query }) => {
      one(params['id']);
      return { json: page(node.tasks.filter((task) => task.gateway === params['id']).toReversed(), query) };
    },
  };
}

function tokenRoutes(node: FakeNode): Record<string, Handler> {
  return {
    'GET /api/v1/enrolment-tokens': () => ({ json: { items: [...node.tokens.values()] } }),
    'POST /api/v1/enrolment-tokens': ({ body }) => {
      const { uses, ttlSeconds, labels } = body(createTokenSchema);
      const createdAt = Date.now();
      const id = `t-${node.tokens.size + 1}`;
      const token = { id, usesLeft: uses, labels, createdAt, expiresAt: createdAt + ttlSeconds * 1000 };
      node.tokens.set(id, token);
      return { status: 201, json: { ...token, token: `secret-of-${id}` } };
    },
    'DELETE /api/v1/enrolment-tokens/:id': ({ params }) => {
      if (!node.tokens.delete(params['id'] ?? '')) fail('token.unknown', `there is no token ${params['id']}`);
      return {};
    },
  };
}

function rolloutRoutes(node: FakeNode): Record<string, Handler> {
  const one = (id?: string) => node.rollouts.get(Number(id)) ?? fail('rollout.unknown', `there is no rollout ${id}`);
  const act = (from: readonly RolloutState[], to: RolloutState): Handler => {
    return ({ params }) => {
      const rollout = one(params['id']);
      if (!from.includes(rollout.state)) fail('rollout.state', `rollout ${rollout.id} is ${rollout.state}`);
      const changed = { ...rollout, state: to };
      node.rollouts.set(rollout.id, changed);
      node.emit({ type: 'rollout', rollout: changed });
      return { json: changed };
    };
  };
  return {
    'GET /api/v1/rollouts': ({ query }) => ({ json: page([...node.rollouts.values()].toReversed(), query) }),
    'POST /api/v1/rollouts': ({ body }) => {
      const request = body(createRolloutSchema);
      if (node.gateways.size === 0) fail('selector.no-match', `the selector "${request.selector}" matches no gateway`);
      if (node.resolution.outcome === 'unsatisfiable') {
        const { explanation } = node.resolution;
        fail('plan.unsatisfiable', explanation.summary, { explanation });
      }
      const total = node.gateways.size;
      const id: RolloutId = rolloutIdSchema.parse(node.rollouts.size + 1);
      const counts = { ...NO_TASKS, total, pending: total };
      const rollout: Rollout = { ...request, id, state: 'running', planned: true, counts, createdAt: Date.now() };
      node.rollouts.set(id, rollout);
      return { status: 201, json: rollout };
    },
    'GET /api/v1/rollouts/:id': ({ params }) => ({ json: one(params['id']) }),
    'GET /api/v1/rollouts/:id/tasks': ({ params, query }) => {
      const state = query.get('state');
      const tasks = node.tasks.filter(
        (task) => task.rollout === one(params['id']).id && (state === null || task.state === state),
      );
      return { json: page(tasks, query) };
    },
    'POST /api/v1/rollouts/:id/pause': act(['running'], 'paused'),
    'POST /api/v1/rollouts/:id/resume': act(['paused'], 'running'),
    'POST /api/v1/rollouts/:id/abort': act(['running', 'paused'], 'aborted'),
    'POST /api/v1/rollouts/:id/retry': act(['failed', 'succeeded'], 'running'),
    'GET /api/v1/tasks/:id': ({ params }) => ({
      json: node.tasks.find((task) => task.id === Number(params['id'])) ?? fail('task.unknown', 'no such task'),
    }),
  };
}
