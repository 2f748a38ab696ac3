/** What LEONORE offers over CoAP: paths, methods, content formats, and the proof by which a gateway is known. */
import { createHash, createHmac } from 'node:crypto';
import { z } from 'zod';

/** RFC 7252, 12.1.1; RFC 8132. */
export const COAP_METHODS = {
  GET: '0.01',
  POST: '0.02',
  PUT: '0.03',
  DELETE: '0.04',
  FETCH: '0.05',
  PATCH: '0.06',
  iPATCH: '0.07',
} as const;
export type CoapMethod = keyof typeof COAP_METHODS;

/** Content-Formats registered with IANA; `mergePatch` is JSON in the role of RFC 7396. */
export const COAP_FORMATS = { text: 0, links: 40, bytes: 42, json: 50, mergePatch: 52, cbor: 60 } as const;

const ROOT = ['leonore', 'v1'] as const;

/** `/leonore/v1/nonce`: what the next proofs are made with. */
export const COAP_NONCE_PATH: readonly string[] = [...ROOT, 'nonce'];

/** What a gateway has below `/leonore/v1/{tenant}/{id}/`. */
export const COAP_RESOURCES = ['task', 'report', 'cancel', 'profile', 'package'] as const;
export type CoapResource = (typeof COAP_RESOURCES)[number];

export function coapPath(tenant: string, id: string, resource: CoapResource, ...rest: readonly string[]): string[] {
  return [...ROOT, tenant, id, resource, ...rest];
}

/** Reads such a path back; undefined when it is none. */
export function parseCoapPath(
  path: readonly string[],
): { tenant: string; id: string; resource: CoapResource; rest: readonly string[] } | undefined {
  const [leonore, version, tenant, id, name, ...rest] = path;
  const resource = COAP_RESOURCES.find((known) => known === name);
  if (leonore !== ROOT[0] || version !== ROOT[1] || tenant === undefined || id === undefined || !resource) {
    return undefined;
  }
  return { tenant, id, resource, rest };
}

/** GET task: a deployment or a cancel as in the other protocols, or neither; beside it what else the server wants. */
export const coapTaskSchema = z.object({ profileWanted: z.literal(true).optional() });

/** What proofs of a gateway are made with: the SHA-256 of its token, 64 hex digits. */
export function coapKey(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}

/** The query that goes with a body: its SHA-256, so that the proof covers it too. */
export function coapDigest(body: Uint8Array): string {
  return createHash('sha256').update(body).digest('hex');
}

const PROOF_DIGITS = 32;

/**
 * Proves to whoever gave the nonce that the token is known, without sending it: the first 32 hex digits of
 * HMAC-SHA-256(key, `METHOD /path?query`), path and query percent-encoded as in a URI, the query without the proof.
 */
export function coapProof(key: string, method: CoapMethod, path: readonly string[], query: readonly string[]): string {
  const target = `/${path.map(encodeURIComponent).join('/')}?${query.map(encodeQuery).join('&')}`;
  return createHmac('sha256', Buffer.from(key, 'hex'))
    .update(`${method} ${target}`)
    .digest('hex')
    .slice(0, PROOF_DIGITS);
}

function encodeQuery(text: string): string {
  return encodeURIComponent(text).replaceAll('%3D', '=');
}
