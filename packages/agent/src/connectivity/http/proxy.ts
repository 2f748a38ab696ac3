/**
 * Which way requests take: straight, or through a proxy (absolute-form for http, CONNECT for https, as Node's own agents do
 * it). From an option, or from HTTP_PROXY, HTTPS_PROXY and NO_PROXY in either case.
 */
import { LeonoreError } from '@leonore/protocol';

/** As `proxyEnv` of Node's agents takes it. */
export interface ProxySettings {
  readonly HTTP_PROXY?: string;
  readonly HTTPS_PROXY?: string;
  readonly NO_PROXY?: string;
}

/** This machine is reached without help. */
const NEVER = ['localhost', '127.0.0.1', '::1', '[::1]'];

/**
 * `url` wins over what the environment says; `off`: no proxy. Undefined: straight.
 * @throws LeonoreError `config.invalid` for what is no address of a proxy.
 */
export function proxySettings(
  url: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
): ProxySettings | undefined {
  if (url === 'off') return undefined;
  const from = (name: string): string | undefined => env[name.toLowerCase()] || env[name] || undefined;
  const http = url ?? from('HTTP_PROXY');
  const https = url ?? from('HTTPS_PROXY');
  if (http === undefined && https === undefined) return undefined;
  const except = [from('NO_PROXY'), ...(url === undefined ? NEVER : [])].filter((name) => name !== undefined);
  return {
    ...(http === undefined ? {} : { HTTP_PROXY: checked(http) }),
    ...(https === undefined ? {} : { HTTPS_PROXY: checked(https) }),
    ...(except.length > 0 ? { NO_PROXY: except.join(',') } : {}),
  };
}

function checked(url: string): string {
  const { protocol } = URL.parse(url) ?? {};
  if (protocol === 'http:' || protocol === 'https:') return url;
  throw new LeonoreError(
    'config.invalid',
    `"${url.replace(/\/\/.*@/, '//')}" is no address of a proxy; it looks like http://proxy.example:3128`,
  );
}
