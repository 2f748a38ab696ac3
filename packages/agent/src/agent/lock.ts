/** One agent for each folder: two would start every application twice. A lock whose owner is gone is taken over. */
import { readFile, rm, writeFile } from 'node:fs/promises';
import { LeonoreError } from '@leonore/protocol';
import { bootId, readProcess } from '../container/mod.ts';

/** @throws LeonoreError `config.invalid` when another agent works in this folder. */
export async function lockFolder(file: string): Promise<AsyncDisposable> {
  const own = `${process.pid} ${(await readProcess(process.pid))?.startTime ?? '?'} ${await bootId()}\n`;
  for (let attempt = 0; ; attempt++) {
    try {
      await writeFile(file, own, { flag: 'wx' });
      return { [Symbol.asyncDispose]: () => rm(file, { force: true }) };
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
    }
    const [pid, startTime, boot] = (await readFile(file, 'utf8').catch(() => '')).trim().split(' ');
    const owner = boot === (await bootId()) ? await readProcess(Number(pid)) : undefined;
    if ((owner !== undefined && owner.startTime === startTime) || attempt > 3) {
      throw new LeonoreError(
        'config.invalid',
        `another agent (process ${pid}) works in this folder; stop it, or give this one a folder of its own with --root`,
      );
    }
    await rm(file, { force: true });
  }
}
