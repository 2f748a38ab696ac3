/**
 * One agent for each folder: two would start every application twice. The lock is a Unix socket with an abstract name
 * (unix(7)): the kernel gives it to one process and takes it back when that ends, however it does; the disk has no part in
 * it, so a full one keeps no agent from starting.
 */
import { stat } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { LeonoreError } from '@leonore/protocol';
import { sleep } from '../connectivity/mod.ts';

/** A child that a killed agent was just making has its sockets until it becomes another program, ms. */
const LAST_BREATH_MS = 2000;
const RETRY_MS = 50;

/** @throws LeonoreError `config.invalid` when another agent works in this folder. */
export async function lockFolder(folder: string): Promise<AsyncDisposable> {
  // However the folder is called, it has one number on one device.
  const { dev, ino } = await stat(folder);
  const deadline = performance.now() + LAST_BREATH_MS;
  for (;;) {
    const server = await listen(`\0leonore-agent-${dev}-${ino}`);
    if (server) {
      server.unref();
      return { [Symbol.asyncDispose]: () => new Promise<void>((resolve) => server.close(() => resolve())) };
    }
    if (performance.now() >= deadline) {
      throw new LeonoreError(
        'config.invalid',
        `another agent works in ${folder}; stop it, or give this one a folder of its own with --root`,
      );
    }
    await sleep(RETRY_MS);
  }
}

/** Undefined while somebody else has the name. */
function listen(name: string): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', (error: NodeJS.ErrnoException) =>
      error.code === 'EADDRINUSE' ? resolve(undefined) : reject(error),
    );
    server.listen(name, () => resolve(server));
  });
}
