/**
 * Who asks over CoAP. There is no Authorization header, and a token in the open would be anybody's: a gateway proves that
 * it knows its token with a nonce of this node (see `coapProof`). Nonces are not kept: each carries when and for which
 * address it was made, sealed with a key of this process. So an answer of more than a few bytes goes to nobody who does
 * not hear at that address.
 */
import { createHmac, randomBytes } from 'node:crypto';
import {
  type CoapResource,
  coapProof,
  type GatewayId,
  gatewayIdSchema,
  LeonoreError,
  parseCoapPath,
  type Tenant,
  tenantSchema,
} from '@leonore/protocol';
import { type GatewayManagement, sameToken } from '../../gateway-management/mod.ts';
import type { CoapRequest } from './exchanges.ts';

export interface Nonces {
  /** 24 hex digits. */
  give(address: string): string;
  holds(nonce: string, address: string): boolean;
}

const NONCE_LIFETIME_SECONDS = 600;

export function createNonces(elapsed: () => number = () => performance.now()): Nonces {
  const key = randomBytes(32);
  const seconds = (): number => Math.floor(elapsed() / 1000);
  const make = (at: string, address: string): string =>
    at + createHmac('sha256', key).update(`${at} ${address}`).digest('hex').slice(0, 16);
  return {
    give: (address) => make(seconds().toString(16).padStart(8, '0'), address),
    holds(nonce, address) {
      const at = nonce.slice(0, 8);
      const age = seconds() - Number.parseInt(at, 16);
      return age >= 0 && age <= NONCE_LIFETIME_SECONDS && sameToken(nonce, make(at, address));
    },
  };
}

export interface Caller {
  readonly tenant: Tenant;
  readonly id: GatewayId;
  readonly resource: CoapResource;
  /** What follows the resource's name. */
  readonly rest: readonly string[];
  /** Of the body that the proof speaks for. */
  readonly sha256: string | undefined;
}

/** @throws LeonoreError route.unknown, auth.missing, auth.wrong; in few words, as anybody may ask */
export async function authenticateCoap(
  { gateways, nonces }: { gateways: Pick<GatewayManagement, 'authenticateProof'>; nonces: Nonces },
  tenants: ReadonlySet<Tenant>,
  { method, path, query, peer }: CoapRequest,
): Promise<Caller> {
  const named = parseCoapPath(path);
  if (!named) throw new LeonoreError('route.unknown', 'see /.well-known/core');
  const tenant = tenantSchema.safeParse(named.tenant).data;
  const id = gatewayIdSchema.safeParse(named.id).data;
  const nonce = valueOf(query, 'nonce');
  const proof = valueOf(query, 'proof');
  if (nonce === undefined || proof === undefined) throw new LeonoreError('auth.missing', 'send nonce and proof');
  if (!nonces.holds(nonce, peer.address)) throw new LeonoreError('auth.wrong', 'old nonce, get another');
  if (tenant === undefined || id === undefined || !tenants.has(tenant)) throw new LeonoreError('auth.wrong', 'no');
  const proven = query.filter((text) => !text.startsWith('proof='));
  await gateways.authenticateProof(tenant, id, (key) => sameToken(coapProof(key, method, path, proven), proof));
  return { tenant, id, resource: named.resource, rest: named.rest, sha256: valueOf(query, 'sha256') };
}

function valueOf(query: readonly string[], name: string): string | undefined {
  return query.find((text) => text.startsWith(`${name}=`))?.slice(name.length + 1);
}
