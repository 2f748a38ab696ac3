/**
 * What a gateway finds over CoAP: its task (and the observation of it), reports, answers to cancels, its profile, package
 * bytes; for anybody a nonce and the list of it all. The contract is in docs/coap.md.
 */
import {
  blockOption,
  COAP_FORMATS,
  COAP_NONCE_PATH,
  COAP_RESOURCES,
  coapDigest,
  type CoapMethod,
  type CoapOption,
  coapOption,
  type CoapResource,
  type DdiFeedback,
  ddiFeedbackSchema,
  type GatewayId,
  isLeonoreError,
  LeonoreError,
  taskIdSchema,
  type TaskId,
  type Strategy,
  type Tenant,
  toLeonoreError,
  uintOf,
} from '@leonore/protocol';
import type { GatewayManagement } from '../../gateway-management/mod.ts';
import type { GatewayTasks } from '../contract.ts';
import { cancelDocument, deploymentDocument } from '../documents.ts';
import { bytesContent, contentAnswer, documentContent, errorAnswer, readDocument } from './answers.ts';
import { authenticateCoap, type Caller, type Nonces } from './credentials.ts';
import type { CoapAnswer, CoapRequest } from './exchanges.ts';
import type { Observer } from './observers.ts';
import type { PackageContents } from './package-contents.ts';
import type { RequestBodies } from './request-bodies.ts';

export interface GatewayResources {
  /** Never rejects. */
  answer(request: CoapRequest): Promise<CoapAnswer>;
  /** What an observer is told now. */
  represent(observer: Observer): Promise<CoapAnswer>;
}

export interface GatewayResourcesOptions {
  readonly tenants: ReadonlySet<Tenant>;
  /** What download links in documents begin with. */
  readonly baseUrl: () => string;
  /** How long an answer about the task is good for, when nothing is pushed. */
  readonly pollIntervalSeconds: number;
}

/** Of an answer to somebody unknown: about as much as was asked with, so that nobody else is flooded with it. */
const STRANGER_BYTES = 64;

export function createGatewayResources(
  deps: {
    gateways: Pick<GatewayManagement, 'authenticateProof' | 'get' | 'putProfile' | 'seen'>;
    tasks: () => GatewayTasks;
    nonces: Nonces;
    bodies: RequestBodies;
    packages: PackageContents;
    /** Somebody asks to observe, or not to any more; gives the value of the Observe option. */
    observe: (observer: Observer, told: CoapAnswer) => number;
    unobserve: (observer: Observer) => void;
    onError: (error: unknown) => void;
  },
  options: GatewayResourcesOptions,
): GatewayResources {
  const { gateways, bodies } = deps;

  async function document(tenant: Tenant, id: GatewayId, by: Strategy): Promise<object> {
    const tasks = deps.tasks();
    const [work, gateway] = await Promise.all([tasks.current(tenant, id), gateways.get(tenant, id)]);
    const wants = gateway.origin === 'enrolled' && gateway.profile.revision === undefined;
    return { ...(await taskDocument(tasks, work, tenant, id, by)), ...(wants ? { profileWanted: true } : {}) };
  }

  /** As over MQTT; what waits for an agreement is no business of this protocol. */
  async function taskDocument(
    tasks: GatewayTasks,
    work: Awaited<ReturnType<GatewayTasks['current']>>,
    tenant: Tenant,
    id: GatewayId,
    by: Strategy,
  ): Promise<object> {
    if (work.kind === 'cancel') return cancelDocument(work.task);
    if (work.kind !== 'deployment') return {};
    try {
      return deploymentDocument(options.baseUrl(), tenant, id, await tasks.deliver(tenant, id, work.task, by));
    } catch (error) {
      // Taken back in this moment.
      if (isLeonoreError(error, 'task.unknown')) return {};
      throw error;
    }
  }

  async function represent({ tenant, id, message }: Observer): Promise<CoapAnswer> {
    return contentAnswer(message, documentContent(message, await document(tenant, id, 'push')), {
      options: [coapOption('Max-Age', options.pollIntervalSeconds)],
    });
  }

  async function task({ tenant, id }: Caller, { message, peer }: CoapRequest): Promise<CoapAnswer> {
    const observer = { tenant, id, peer, message };
    const wish = uintOf(message, 'Observe');
    if (wish === OBSERVE) {
      const told = await represent(observer);
      const sequence = coapOption('Observe', deps.observe(observer, told));
      return { ...told, options: [...(told.options ?? []), sequence] };
    }
    if (wish === UNOBSERVE) deps.unobserve(observer);
    const content = documentContent(message, await document(tenant, id, 'pull'));
    return contentAnswer(message, content, { options: [coapOption('Max-Age', options.pollIntervalSeconds)] });
  }

  /** What came block by block as one body, or the answer that asks for the next block. */
  function bodyOf(caller: Caller, { path, message }: CoapRequest): { body: Buffer; echo: CoapOption[] } | CoapAnswer {
    if (caller.sha256 === undefined) throw new LeonoreError('request.invalid', 'send the sha256 of the body');
    const taken = bodies.take(`${caller.tenant}/${caller.id}`, `${message.code} ${path.join('/')}`, message);
    const echo = taken.block ? [blockOption('Block1', taken.block)] : [];
    if (taken.kind === 'more') return { code: '2.31', options: echo };
    if (taken.kind === 'lost') return { code: '4.08', options: echo, payload: Buffer.from('begin with block 0 again') };
    if (coapDigest(taken.body) !== caller.sha256)
      throw new LeonoreError('auth.wrong', 'the body is not the one that the proof was made for');
    return { body: taken.body, echo };
  }

  async function change(caller: Caller, request: CoapRequest): Promise<CoapAnswer> {
    const taken = bodyOf(caller, request);
    if (!('body' in taken)) return taken;
    const { tenant, id, resource, rest } = caller;
    const said = readDocument(request.message, taken.body);
    if (resource === 'profile') {
      await gateways.putProfile(tenant, id, said, request.method === 'PUT' ? 'replace' : 'merge');
    } else if (resource === 'report') {
      await deps.tasks().feedback(tenant, id, actionOf(rest), feedbackOf(said));
    } else {
      await deps.tasks().cancelFeedback(tenant, id, actionOf(rest), feedbackOf(said));
    }
    return { code: '2.04', options: taken.echo };
  }

  async function fetchPackage({ tenant, id, rest }: Caller, { message }: CoapRequest): Promise<CoapAnswer> {
    const [action = '', fileName = ''] = rest;
    const accept = uintOf(message, 'Accept') ?? COAP_FORMATS.bytes;
    if (accept !== COAP_FORMATS.bytes) {
      throw new LeonoreError('request.not-acceptable', `a package is bytes (${COAP_FORMATS.bytes})`);
    }
    return contentAnswer(message, await deps.packages.open(tenant, id, action, fileName));
  }

  function answerCaller(caller: Caller, request: CoapRequest): Promise<CoapAnswer> | CoapAnswer {
    const { methods, parts } = KNOWN[caller.resource];
    if (caller.rest.length !== parts) throw new LeonoreError('route.unknown', 'see /.well-known/core');
    if (!methods.includes(request.method)) {
      throw new LeonoreError('request.method', `${caller.resource} takes ${methods.join(', ')}`);
    }
    if (caller.resource === 'task') return task(caller, request);
    if (caller.resource === 'package') return fetchPackage(caller, request);
    return change(caller, request);
  }

  /** What anybody may ask. */
  function answerStranger({ method, path, message, peer }: CoapRequest): Promise<CoapAnswer> | undefined {
    const isGet = method === 'GET';
    const name = path.join('/');
    if (isGet && name === COAP_NONCE_PATH.join('/')) {
      const nonce = Buffer.from(deps.nonces.give(peer.address));
      return Promise.resolve({ code: '2.05', options: [coapOption('Max-Age', 0)], payload: nonce });
    }
    if (isGet && name === '.well-known/core') {
      return contentAnswer(message, bytesContent(LINKS, COAP_FORMATS.links), { maxBlockSize: STRANGER_BYTES });
    }
    return undefined;
  }

  return {
    represent,
    async answer(request) {
      let isKnown = false;
      try {
        const answered = answerStranger(request);
        if (answered) return await answered;
        const caller = await authenticateCoap(deps, options.tenants, request);
        isKnown = true;
        gateways.seen(caller.tenant, caller.id);
        return await answerCaller(caller, request);
      } catch (thrown) {
        if (!isLeonoreError(thrown)) deps.onError(thrown);
        return errorAnswer(toLeonoreError(thrown), isKnown ? undefined : STRANGER_BYTES);
      }
    },
  };
}

/** RFC 7641, 2. */
const OBSERVE = 0;
const UNOBSERVE = 1;

/** How a resource may be used, and how many parts its path has after its name. */
const KNOWN: Record<CoapResource, { methods: readonly CoapMethod[]; parts: number; attributes: string }> = {
  task: { methods: ['GET'], parts: 0, attributes: 'obs;ct="50 60"' },
  report: { methods: ['POST'], parts: 1, attributes: 'ct="50 60"' },
  cancel: { methods: ['POST'], parts: 1, attributes: 'ct="50 60"' },
  profile: { methods: ['PUT', 'iPATCH'], parts: 0, attributes: 'ct="50 52 60"' },
  package: { methods: ['GET'], parts: 2, attributes: 'ct=42' },
};

/** RFC 6690. What depends on the gateway is in braces, percent-encoded as addresses have it. */
const LINKS = Buffer.from(
  [
    `</${COAP_NONCE_PATH.join('/')}>;ct=0`,
    ...COAP_RESOURCES.map((name) => {
      const { parts, attributes } = KNOWN[name];
      const rest = ['action', 'file'].slice(0, parts).map((part) => `/%7B${part}%7D`);
      return `</leonore/v1/%7Btenant%7D/%7Bid%7D/${name}${rest.join('')}>;rt="leonore.${name}";${attributes}`;
    }),
  ].join(','),
);

function actionOf([text = '']: readonly string[]): TaskId {
  const id = /^\d{1,10}$/.test(text) ? taskIdSchema.safeParse(text).data : undefined;
  if (id === undefined) throw new LeonoreError('task.unknown', `there is no task ${text}`);
  return id;
}

function feedbackOf(said: unknown): DdiFeedback {
  const parsed = ddiFeedbackSchema.safeParse(said);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new LeonoreError('request.invalid', `feedback.${issue?.path.map(String).join('.')}: ${issue?.message}`);
}
