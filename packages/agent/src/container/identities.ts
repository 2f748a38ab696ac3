/**
 * Who an application is on this machine, by what its manifest asks for, what the operator allows and what the agent can.
 * `own`: a user of its own; control/install and control/uninstall run as the agent, since they set up what the
 * application may only use. `strict`: nothing of it ever runs as the agent. `agent`: all of it does.
 */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { LeonoreError, type Run } from '@leonore/protocol';
import { giveFolder, outOfReach, takeFolder } from './access.ts';
import type { Application, RunnableApplication } from './application.ts';
import { ensureFolder } from './ensure-folder.ts';
import type { Workload } from './executors/executor.ts';
import { cannotSwitchUser, createUsers, idRangeOf } from './users.ts';

export const APPLICATION_USERS = ['own', 'strict', 'agent'] as const;
export type ApplicationUsers = (typeof APPLICATION_USERS)[number];

export interface Identities {
  /** Why nothing with this `run` may run here, in words. */
  refusal(run: Run | undefined): Promise<string | undefined>;
  /** @throws LeonoreError `agent.unsupported` where it would have to run as the agent, and must not. */
  of(application: RunnableApplication): Promise<Workload>;
  /** Who runs control/install and control/uninstall. */
  installer(application: Application): Promise<number | undefined>;
  /** The id that it has of its own, if it was ever given one. */
  known(name: string, dataDir: string): Promise<number | undefined>;
}

export function createIdentities(mode: ApplicationUsers, { runDir }: { runDir: string }): Identities {
  const range = idRangeOf(runDir);
  const users = createUsers({ file: join(runDir, '.users.json'), range });
  let hindrance: Promise<string | undefined> | undefined;
  const cannot = (): Promise<string | undefined> => (hindrance ??= cannotSwitchUser(range));
  const isRoot = process.getuid?.() === 0;

  /** Its own user, or why not. */
  const own = async (application: Application): Promise<number | string> => {
    const why = await cannot();
    if (why !== undefined) return why;
    const { name, binaryDir, controlDir, dataDir, tmpDir, run } = application;
    const user = await users.idOf(name, dataDir);
    // What runs in a root file system of its own finds its folders there.
    if (run?.executor === 'oci') return user;
    const readable = [binaryDir, controlDir, join(controlDir, 'start')];
    const path = await outOfReach(user, { readable, own: [dataDir, ...(tmpDir === undefined ? [] : [tmpDir])] });
    return path === undefined ? user : `its own user does not get to ${path}`;
  };
  const strictly = async (application: Application): Promise<number> => {
    const user = await own(application);
    if (typeof user === 'number') return user;
    throw new LeonoreError(
      'agent.unsupported',
      `${application.name} must not run as the agent's user, and cannot have one of its own: ${user}`,
    );
  };

  return {
    async refusal(run) {
      if (run?.user === 'root' && !isRoot) return 'it asks for run.user: root, and the agent is not root';
      if (mode !== 'strict') return undefined;
      if (run?.user === 'root') return 'it asks for run.user: root, which this gateway does not allow';
      const why = await cannot();
      return why === undefined ? undefined : `this gateway runs applications as users of their own only, and ${why}`;
    },
    async of(application) {
      if (mode === 'strict') return { application, user: await strictly(application) };
      if (mode === 'agent' || application.run.user === 'root' || !isRoot) return { application, user: undefined };
      const user = await own(application);
      return typeof user === 'number'
        ? { application, user }
        : { application, user: undefined, note: `runs as the agent's user: ${user}` };
    },
    installer: (application) => (mode === 'strict' ? strictly(application) : Promise.resolve(undefined)),
    known: (name, dataDir) => users.known(name, dataDir),
  };
}

/** Its data folder is there and belongs to who runs it, its folder for temporary files is there and empty. */
export async function makeReady({ application, user }: Workload): Promise<void> {
  const { dataDir, tmpDir } = application;
  // On a full disk it must come up all the same, and may do without.
  if (tmpDir !== undefined) await rm(tmpDir, { recursive: true, force: true }).catch(() => undefined);
  await makeTmp(application, user).catch(() => undefined);
  await ensureFolder(dataDir);
  await (user === undefined ? takeFolder(dataDir) : giveFolder(dataDir, user));
}

/**
 * Around a script that runs as `runner` in folders that are `owner`'s (undefined: the agent): what it makes there
 * belongs to the owner in the end.
 */
export async function lendFolders<T>(
  application: Application,
  { owner, runner }: { readonly owner: number | undefined; readonly runner: number | undefined },
  work: () => Promise<T>,
): Promise<T> {
  const { dataDir } = application;
  await ensureFolder(dataDir);
  await makeTmp(application, owner);
  if (owner === undefined) return work();
  if (runner === owner) await giveFolder(dataDir, owner);
  // Broken off in the middle it is still the agent's, so that the next start gives it whole.
  else await takeFolder(dataDir);
  try {
    return await work();
  } finally {
    await giveFolder(dataDir, owner);
  }
}

async function makeTmp({ tmpDir }: Application, owner: number | undefined): Promise<void> {
  if (tmpDir === undefined) return;
  await ensureFolder(tmpDir);
  if (owner !== undefined) await giveFolder(tmpDir, owner);
}
