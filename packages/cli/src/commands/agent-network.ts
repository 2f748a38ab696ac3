/** How `leonore agent` gets to its node: proxy, trust, and what downloads may take. */
import { resolve } from 'node:path';
import type { AgentOptions } from '@leonore/agent';
import { bytesSchema, LeonoreError } from '@leonore/protocol';
import { type Command, Option } from 'commander';
import { collectValues } from './words.ts';

export interface NetworkFlags {
  readonly maxDownloadRate?: string;
  readonly downloadWindow: string[];
  readonly proxy?: string;
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

export function addNetworkOptions(command: Command): Command {
  return command
    .option('--max-download-rate <bytes/s>', 'bring packages no faster than this, such as 50kB/s')
    .option(
      '--download-window <from-to>',
      'bring packages only at these local times, such as 22:00-05:00; may be given again',
      collectValues,
      [],
    )
    .addOption(
      new Option(
        '--proxy <url>',
        'reach the node through it; "off": straight (default: HTTP_PROXY, HTTPS_PROXY, NO_PROXY)',
      ).env('LEONORE_PROXY'),
    )
    .addOption(new Option('--ca <file>', 'trust the authorities in this PEM file too').env('LEONORE_CA'))
    .option('--cert <file>', "the gateway's own TLS certificate as PEM, where the node's address asks for one")
    .option('--key <file>', "that certificate's key as PEM");
}

/** @throws LeonoreError for what cannot be read. */
export async function networkOptions(
  flags: NetworkFlags,
  { cwd, env }: { readonly cwd: string; readonly env: Readonly<Record<string, string | undefined>> },
): Promise<Pick<AgentOptions, 'downloads' | 'proxy' | 'tls'>> {
  const { parseDownloadWindow, proxySettings } = await import('@leonore/agent');
  const file = (path: string | undefined): string | undefined => (path === undefined ? undefined : resolve(cwd, path));
  return {
    proxy: proxySettings(flags.proxy, env),
    tls: { ca: file(flags.ca), cert: file(flags.cert), key: file(flags.key) },
    downloads: {
      maxRate: flags.maxDownloadRate === undefined ? undefined : parseRate(flags.maxDownloadRate),
      windows: flags.downloadWindow.map(parseDownloadWindow),
    },
  };
}

/** Bytes per second of `50kB/s`, `1MiB`, `2000`. */
export function parseRate(text: string): number {
  const amount = text.trim().replace(/\/s$/, '');
  const parsed = bytesSchema.safeParse(/^\d+$/.test(amount) ? Number(amount) : amount);
  if (parsed.success && parsed.data > 0) return parsed.data;
  throw new LeonoreError('cli.usage', `--max-download-rate: "${text}" is no rate; it reads like 50kB/s or 1MiB/s`);
}
