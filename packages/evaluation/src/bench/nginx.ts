/**
 * nginx as the floor of a comparison: it answers a gateway's requests with files that never change, so nothing that
 * serves the same bytes to the same gateways can be expected to be much quicker. Runs on a port and a folder of its own.
 */
import { access, chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { LeonoreError } from '@leonore/protocol';
import { type BenchProcess, startProcess } from './child-process.ts';

export interface Nginx extends BenchProcess {
  readonly url: string;
}

/** What is served, whichever gateway asks: `poll` and `deployment` are the DDI documents, every feedback is answered 200. */
export interface StaticGatewayFiles {
  readonly poll: string;
  readonly deployment: string;
  readonly package: Uint8Array;
}

export const NGINX_MISSING = 'nginx is not installed; on Debian: sudo apt-get install nginx-light';
const START_TIMEOUT_MS = 10_000;

/** Where nginx is, or undefined. */
export async function findNginx(path = process.env['PATH'] ?? ''): Promise<string | undefined> {
  for (const folder of [...path.split(delimiter), '/usr/sbin', '/usr/local/sbin', '/usr/local/nginx/sbin']) {
    const file = join(folder, 'nginx');
    if (
      folder !== '' &&
      (await access(file).then(
        () => true,
        () => false,
      ))
    )
      return file;
  }
  return undefined;
}

/** `files` is asked for with the address, which links in its documents need. */
export async function startNginx(
  nginx: string,
  files: (url: string) => StaticGatewayFiles,
  signal: AbortSignal,
): Promise<Nginx> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const served = files(url);
  const folder = await mkdtemp(join(tmpdir(), 'leonore-nginx-'));
  // nginx's workers run as another user when its master is root.
  await chmod(folder, 0o755);
  await writeFile(join(folder, 'poll.json'), served.poll);
  await writeFile(join(folder, 'deployment.json'), served.deployment);
  await writeFile(join(folder, 'package'), served.package);
  await writeFile(join(folder, 'nginx.conf'), configuration(folder, port));
  const child = await startProcess(nginx, ['-p', folder, '-c', join(folder, 'nginx.conf'), '-e', 'stderr'], {
    logFile: join(folder, 'nginx.log'),
  });
  const dispose = async (): Promise<void> => {
    await child[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await Promise.race([child.died, answers(`${url}/package`, signal)]);
    return { pid: child.pid, died: child.died, url, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

function configuration(folder: string, port: number): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (of) => `${of}_temp_path ${folder}/${of};`,
  );
  return `
daemon off;
pid ${folder}/nginx.pid;
worker_processes auto;
worker_rlimit_nofile 65536;
events { worker_connections 16384; }
http {
  access_log off;
  ${temporary.join('\n  ')}
  sendfile on;
  tcp_nopush on;
  keepalive_timeout 300;
  keepalive_requests 1000000;
  open_file_cache max=16;
  default_type application/octet-stream;
  root ${folder};
  server {
    listen 127.0.0.1:${port} backlog=8192;
    location ~ /feedback$ { return 200; }
    location ~ ^/DEFAULT/controller/v1/[^/]+$ { rewrite ^ /poll.json break; }
    location ~ /deploymentBase/ { rewrite ^ /deployment.json break; }
  }
}
`;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function answers(url: string, signal: AbortSignal): Promise<void> {
  const until = performance.now() + START_TIMEOUT_MS;
  while (performance.now() < until) {
    signal.throwIfAborted();
    const status = await fetch(url, { method: 'HEAD' }).then(
      (answer) => answer.status,
      () => 0,
    );
    if (status === 200) return;
    await delay(20);
  }
  throw new LeonoreError('server.unreachable', `nginx did not answer at ${url} within ${START_TIMEOUT_MS / 1000} s`);
}
