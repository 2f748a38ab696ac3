/** What a gateway's owner allows beside what every gateway does: further hosts for packages, further folders to install to. */
import { installPathSchema, LeonoreError } from '@leonore/protocol';

export interface LimitFlags {
  readonly allowHost: readonly string[];
  readonly allowInstallPath: readonly string[];
}

/** @throws LeonoreError `cli.usage` */
export function limitOptions({ allowHost, allowInstallPath }: LimitFlags) {
  return {
    ...(allowHost.length === 0 ? {} : { allowHosts: allowHost.map(parseHost) }),
    ...(allowInstallPath.length === 0 ? {} : { allowInstallPaths: allowInstallPath.map(parseFolder) }),
  };
}

function parseHost(text: string): string {
  const url = /^[^\s/@?#\\]+$/.test(text) ? URL.parse(`http://${text}`) : null;
  const port = /:(\d+)$/.exec(text)?.[1];
  if (!url || url.hostname === '') {
    throw new LeonoreError(
      'cli.usage',
      `--allow-host "${text}": it reads like packages.example or packages.example:8443, without http:// and without a path`,
    );
  }
  return port === undefined ? url.hostname : `${url.hostname}:${Number(port)}`;
}

function parseFolder(text: string): string {
  const folder = text === '/' ? text : text.replace(/\/+$/, '');
  if (folder === '/' || installPathSchema.safeParse(folder).success) return folder;
  throw new LeonoreError(
    'cli.usage',
    `--allow-install-path "${text}": it is an absolute path without "." or ".." parts, such as /home/apps; / allows all`,
  );
}
