/**
 * A user and group id for each application, so that they can neither read nor end each other nor touch the gateway.
 * Ids are given once and kept on disk, never to be given to another application, as files may be left that belong to
 * them. They need no entry in /etc/passwd. Only for an agent that is root with the rights that this takes.
 */
import { createHash } from 'node:crypto';
import { lstat, open, readdir, readFile, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { LeonoreError } from '@leonore/protocol';
import { z } from 'zod';

export interface IdRange {
  readonly first: number;
  readonly count: number;
}
/**
 * All that agents give: between what systemd takes for containers (to 1879048191) and for foreign images (from
 * 2147352576), see https://systemd.io/UIDS-GIDS; below 2^31, as some programs take ids for signed.
 */
export const APPLICATION_IDS: IdRange = { first: 1_880_000_000, count: 2 ** 28 - 2 ** 20 };
const IDS_OF_AN_AGENT = 1024;

/** The part of one agent, by its folder: those of two agents on one machine must not take each other's processes for theirs. */
export function idRangeOf(folder: string): IdRange {
  const slot = createHash('sha256').update(folder).digest().readUInt32BE() % (APPLICATION_IDS.count / IDS_OF_AN_AGENT);
  return { first: APPLICATION_IDS.first + slot * IDS_OF_AN_AGENT, count: IDS_OF_AN_AGENT };
}

export interface Users {
  /** The application's id. `dataDir`: its owner proves what the file has lost. */
  idOf(name: string, dataDir: string): Promise<number>;
  /** The same, of one that has one. */
  known(name: string, dataDir: string): Promise<number | undefined>;
}

const fileSchema = z.object({ next: z.int(), ids: z.record(z.string(), z.int()) });
type Given = z.infer<typeof fileSchema>;

export function createUsers({ file, range }: { file: string; range: IdRange }): Users {
  let latest: Given | undefined;
  let turn: Promise<unknown> = Promise.resolve();
  const read = async (dataDir: string): Promise<Given> =>
    (latest ??= (await readGiven(file)) ?? (await fromOwners(dirname(dataDir), range)));
  const idOf = async (name: string, dataDir: string): Promise<number> => {
    const given = await read(dataDir);
    const known = given.ids[name];
    if (known !== undefined) return known;
    // Where the agent's folder was moved, all that it gave before is of another range.
    const id = given.next > range.first && given.next <= range.first + range.count ? given.next : range.first;
    if (id === range.first + range.count) {
      throw new LeonoreError(
        'agent.unsupported',
        `all ${range.count} user ids for applications are given; no id is ever given twice, so start anew with another --root, or let applications run as the agent (--application-users agent)`,
      );
    }
    const next = { next: id + 1, ids: { ...given.ids, [name]: id } };
    await writeGiven(file, next);
    latest = next;
    return id;
  };
  return {
    idOf(name, dataDir) {
      const mine = turn.then(() => idOf(name, dataDir));
      turn = mine.catch(() => undefined);
      return mine;
    },
    known: async (name, dataDir) => (await read(dataDir)).ids[name],
  };
}

async function readGiven(file: string): Promise<Given | undefined> {
  try {
    return fileSchema.safeParse(JSON.parse(await readFile(file, 'utf8'))).data;
  } catch {
    return undefined;
  }
}

/** Fulfilled when it is on the disk: an id that is forgotten would be given again. */
async function writeGiven(file: string, given: Given): Promise<void> {
  const aside = `${file}.tmp`;
  const handle = await open(aside, 'w', 0o600);
  try {
    await handle.writeFile(JSON.stringify(given));
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(aside, file);
  const folder = await open(dirname(file), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** What the owners of the data folders say of who was given what. */
async function fromOwners(dataRoot: string, { first, count }: IdRange): Promise<Given> {
  const ids: Record<string, number> = {};
  for (const name of await readdir(dataRoot).catch(() => [])) {
    const uid = (await lstat(join(dataRoot, name)).catch(() => undefined))?.uid ?? 0;
    if (uid >= first && uid < first + count) ids[name] = uid;
  }
  return { next: Math.max(first - 1, ...Object.values(ids)) + 1, ids };
}

/** Bits of CapEff that it takes, see capabilities(7): chown, dac_override, kill, setgid, setuid, sys_ptrace. */
const NEEDED = [0, 1, 5, 6, 7, 19].reduce((bits, bit) => bits | (1n << BigInt(bit)), 0n);

/** Why this process cannot give applications users of their own; undefined when it can. */
export async function cannotSwitchUser(range: IdRange): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return 'the agent is not root';
  const status = await readFile('/proc/self/status', 'utf8').catch(() => '');
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? '0'}`);
  if ((effective & NEEDED) !== NEEDED) return 'the agent is root without all of its rights';
  for (const map of ['uid_map', 'gid_map']) {
    const lines = (await readFile(`/proc/self/${map}`, 'utf8').catch(() => '')).trim().split('\n');
    const mapped = lines.some((line) => {
      const [inside = 0, , length = 0] = line.trim().split(/\s+/).map(Number);
      return inside <= range.first && range.first + range.count <= inside + length;
    });
    if (!mapped) return 'the agent runs where there are no such user ids';
  }
  return undefined;
}
