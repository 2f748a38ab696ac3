/**
 * TLS with client certificates that a proxy in front has ended, as hawkBit reads it: the proxy says in headers whom the
 * certificate names and which authorities have signed it. Whether the proxy is one to believe is asked elsewhere.
 */
import type { IncomingHttpHeaders } from 'node:http';

/** What a proxy says of the certificate; undefined when it says nothing. */
export interface ProxyCredentials {
  readonly id: string;
  /** Names or hashes of issuers, as the proxy writes them. */
  readonly authorities: readonly string[];
}

/** `X-Controller-Id` with `X-Authority` (a list) or `X-Authority-0...`; of older proxies `X-Ssl-Client-Cn` with `X-Ssl-Issuer-Hash-0...`. */
export function proxyCredentials(headers: IncomingHttpHeaders): ProxyCredentials | undefined {
  const one = (name: string): string | undefined => {
    const value = headers[name];
    return typeof value === 'string' ? value.trim() : undefined;
  };
  const id = one('x-controller-id');
  if (id !== undefined) {
    const listed = (one('x-authority') ?? '').split(/[;,]/).map((text) => text.trim());
    return { id, authorities: [...listed, ...numbered(one, 'x-authority')].filter(Boolean) };
  }
  const commonName = one('x-ssl-client-cn');
  if (commonName === undefined) return undefined;
  return { id: commonName, authorities: numbered(one, 'x-ssl-issuer-hash').filter(Boolean) };
}

/** `NAME-0`, `NAME-1` and so on until one is missing; the first may be `NAME-1`. */
function numbered(one: (name: string) => string | undefined, name: string): string[] {
  const found: string[] = [];
  for (let i = one(`${name}-0`) === undefined ? 1 : 0; ; i++) {
    const value = one(`${name}-${i}`);
    if (value === undefined) return found;
    found.push(value);
  }
}
