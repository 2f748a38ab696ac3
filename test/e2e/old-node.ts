/** A Node of the machine that is older than the project's, as gateways have one; or why there is none to test with. */
import { execFile } from 'node:child_process';
import { access, constants } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';

export interface OldNode {
  readonly name: string;
  readonly path: string;
  readonly hasZstd: boolean;
  readonly hasProxies: boolean;
  /** Why it cannot be tested here. */
  readonly skip: string | false;
}

export async function oldNode(): Promise<OldNode> {
  const folders = (process.env['PATH'] ?? '').split(delimiter).filter((one) => !one.includes('node_modules'));
  for (const folder of [...folders, '/usr/bin', '/usr/local/bin']) {
    const path = join(folder, 'node');
    if (!(await isExecutable(path))) continue;
    const said = await promisify(execFile)(path, ['-p', 'process.versions.node']).catch(() => undefined);
    const version = said?.stdout.trim() ?? '';
    const [major = 0, minor = 0] = version.split('.').map(Number);
    if (major < 20 || (major === 20 && minor < 19) || major >= 24) continue;
    const hasZstd = major > 22 || (major === 22 && minor >= 15);
    const hasProxies = major === 22 && minor >= 21;
    return { name: `Node ${version}`, path, hasZstd, hasProxies, skip: false };
  }
  const skip = 'there is no Node from 20.19 to 23 on the PATH';
  return { name: 'an older Node', path: '', hasZstd: false, hasProxies: false, skip };
}

async function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}
