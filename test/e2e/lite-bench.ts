/** A gateway with agent-lite for tests: its folder, the node that it speaks to, and what runs on it. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { DdiFeedback } from '@leonore/protocol';
import {
  type AgentProgram,
  type ArtifactFiles,
  endApplications,
  startAgentProcess,
  temporaryFolder,
  waitFor,
} from '@leonore/testkit';
import { type Build, type LiteNode, startLiteNode, TOKEN } from './lite-node.ts';

/** What was started goes with it. `root`: in place of a folder of its own. */
export async function bench(program: AgentProgram, options: { readonly root?: string } = {}) {
  await using stack = new AsyncDisposableStack();
  const { path: work } = stack.use(await temporaryFolder());
  const node = stack.use(await startLiteNode(work));
  const root = options.root ?? join(work, 'gateway');
  stack.defer(() => endApplications(root));
  const resources = stack.move();
  return {
    work,
    node,
    root,
    at: (...parts: string[]): string => join(root, ...parts),
    /** `as`: called in another way than usual. */
    start(...args: readonly (string | AgentProgram)[]) {
      const as = args.find((one) => typeof one === 'object') ?? program;
      const own = args.filter((one) => typeof one === 'string');
      return resources.use(
        startAgentProcess({ server: node.url, id: 'gw-1', root, token: TOKEN, program: as, args: own }),
      );
    },
    events: (name: string) => readFile(join(root, 'data', name, 'events'), 'utf8').catch(() => ''),
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}
export type Bench = Awaited<ReturnType<typeof bench>>;

export interface Found {
  readonly pid: number;
  readonly version: string | undefined;
  readonly script: string | undefined;
}

/** Processes of applications below `root`, known by their environment; their sleeps and the like left out. */
export async function running(root: string): Promise<Found[]> {
  const found: Found[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const environ = (await readFile(`/proc/${pid}/environ`, 'latin1').catch(() => '')).split('\0');
    const value = (name: string) => environ.find((one) => one.startsWith(`${name}=`))?.slice(name.length + 1);
    if (!value('LEONORE_DATA_DIR')?.startsWith(`${root}/`)) continue;
    found.push({ pid: Number(pid), version: value('LEONORE_VERSION'), script: value('LEONORE_SCRIPT') });
  }
  return found;
}

export const versions = async (root: string) =>
  (await running(root)).filter(({ script }) => script === 'start').map(({ version }) => version);
export const wordsOf = (report: DdiFeedback | undefined): string => report?.status.details?.join('\n') ?? '';
export const build = (artifact: ArtifactFiles, replaces?: string): Build => ({
  artifact,
  ...(replaces ? { replaces } : {}),
});
export const ended = (node: LiteNode, id: number, output: () => string) =>
  waitFor(`the end of task ${id}`, () => node.closed(id), { describe: output, timeoutMs: 60_000 });
