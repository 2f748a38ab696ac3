/** How the agent gets to its node: proxy, trust, and what downloads may take. */
import { resolve } from 'node:path';
import { LeonoreError, parseRate } from '@leonore/protocol';
import type { AgentOptions } from '../agent/mod.ts';
import { parseDownloadWindow, proxySettings } from '../connectivity/mod.ts';
import type { Place } from './read-flags.ts';

export interface NetworkFlags {
  readonly maxDownloadRate?: string;
  readonly downloadWindow: readonly string[];
  readonly proxy?: string;
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

/** @throws LeonoreError for what cannot be read. */
export function networkOptions(
  flags: NetworkFlags,
  { cwd, env }: Place,
): Pick<AgentOptions, 'downloads' | 'proxy' | 'tls'> {
  const file = (path: string | undefined): string | undefined => (path === undefined ? undefined : resolve(cwd, path));
  const proxy = proxySettings(flags.proxy, env);
  if (proxy) checkProxies(process.versions.node);
  return {
    proxy,
    tls: { ca: file(flags.ca), cert: file(flags.cert), key: file(flags.key) },
    downloads: {
      maxRate: flags.maxDownloadRate === undefined ? undefined : parseRate(flags.maxDownloadRate),
      windows: flags.downloadWindow.map(parseDownloadWindow),
    },
  };
}

/** Node's agents know proxies since 24.5, and 22.21 of the line before. Gone around without a word, one would be worse than none. */
function checkProxies(node: string): void {
  const [major = 0, minor = 0] = node.split('.').map(Number);
  if (major > 24 || (major === 24 && minor >= 5) || (major === 22 && minor >= 21)) return;
  throw new LeonoreError(
    'config.invalid',
    `a proxy needs Node.js 24.5 (or 22.21) or newer, and this is ${node}; put a newer one there, or go straight with --proxy off`,
  );
}
