/**
 * How many requests gateways may make from one address, as hawkBit limits them: who asks in a loop shall not take the node
 * from the others. Counts whole seconds in a table of limited size; costs a lookup, before credentials are looked at.
 */
import type { Networks } from './networks.ts';

export interface RateLimits {
  /** GET and HEAD in one second; 0: no limit. */
  readonly reads: number;
  /** All others in one second; 0: no limit. */
  readonly writes: number;
  /** Addresses and networks that are not limited. */
  readonly exempt: readonly string[];
}

/** Requests of one second that were refused are counted too: they cost something as well. */
interface Counts {
  reads: number;
  writes: number;
}

export interface RateLimit {
  /** Counts a request. False: it is one too many. */
  take(address: string, method: string): boolean;
}

/** Addresses of one second that are counted each for itself; those beyond share one count. */
const MAX_ADDRESSES = 20_000;
const OTHERS = '';

export function createRateLimit(
  deps: { exempt: Networks; now: () => number },
  limits: Pick<RateLimits, 'reads' | 'writes'>,
  maxAddresses = MAX_ADDRESSES,
): RateLimit {
  const counted = new Map<string, Counts>();
  let second = 0;

  function countsOf(address: string): Counts {
    const now = Math.floor(deps.now() / 1000);
    if (now !== second) counted.clear();
    second = now;
    const client = clientOf(address);
    const key = counted.has(client) || counted.size < maxAddresses ? client : OTHERS;
    const found = counted.get(key) ?? { reads: 0, writes: 0 };
    counted.set(key, found);
    return found;
  }

  return {
    take(address, method) {
      const kind = method === 'GET' || method === 'HEAD' ? 'reads' : 'writes';
      if (limits[kind] === 0 || deps.exempt(address)) return true;
      return ++countsOf(address)[kind] <= limits[kind];
    },
  };
}

/** Whoever has one IPv6 address has the 2^64 of its network: its first four groups. */
function clientOf(address: string): string {
  if (!address.includes(':') || address.includes('.')) return address;
  const [head = '', tail] = address.split('::');
  const groups = head.split(':').filter(Boolean);
  const after = (tail ?? '').split(':').filter(Boolean);
  const zeros = tail === undefined ? 0 : 8 - groups.length - after.length;
  return [...groups, ...Array<string>(Math.max(0, zeros)).fill('0'), ...after].slice(0, 4).join(':');
}
