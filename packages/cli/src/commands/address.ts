/** Reads where to listen: `HOST:PORT`, `[::1]:PORT`, or `PORT` for this machine only. */
import { LeonoreError } from '@leonore/protocol';

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** @throws LeonoreError `cli.usage`, naming the option. */
export function parseAddress(option: string, text: string): Address {
  const match = /^(?:(?<host>\[[0-9a-fA-F:.]+\]|[^:[\]\s]+):)?(?<port>\d{1,5})$/.exec(text.trim());
  const port = Number(match?.groups?.['port']);
  if (!match || port > 65_535) {
    throw new LeonoreError(
      'cli.usage',
      `${option} "${text}" is no address; it reads like 127.0.0.1:8080 or 0.0.0.0:8080`,
    );
  }
  return { host: (match.groups?.['host'] ?? '127.0.0.1').replaceAll(/[[\]]/g, ''), port };
}
