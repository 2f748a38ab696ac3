/**
 * `npm run bench:resolve [-- --json FILE]`: how long a newest-first answer takes on generated repositories, and how long
 * the event loop is held up by it. Described in docs/dependencies.md. Judges nothing: aims stand beside the figures.
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, cpus, tmpdir, totalmem, type } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { DEFAULT_TENANT, type Artifact } from '@leonore/protocol';
import { openSqliteRepositories } from '../repositories/mod.ts';
import { artifact, randomRepository, request } from './generate.ts';
import {
  createAnswers,
  createCatalogue,
  createPacer,
  createSolverThread,
  resolve,
  updatingCatalogue,
  type Catalogue,
  type ResolveRequest,
} from './mod.ts';

interface Row {
  readonly name: string;
  readonly value: number;
  readonly unit: 'ms';
  readonly baseline: null;
  readonly ratio: null;
  readonly aim: number;
  readonly better: 'lower';
  readonly runs: number;
  readonly spread: readonly [number, number];
}

interface Problem {
  readonly catalogue: Catalogue;
  readonly asked: ResolveRequest;
}

const RUNS = 7;
const APPLICATIONS = ['c0', 'c1', 'c2'];
const LIKENESS = { needs: 3, narrow: 0.3, conflicts: 0.1 };

/** The first seeds whose repository has a plan for the applications, each with a twin that has none. */
function problems(components: number, versions: number, more: (seed: number) => readonly Artifact[] = () => []) {
  const solvable: Problem[] = [];
  const unsolvable: Problem[] = [];
  for (let seed = 1; solvable.length < RUNS; seed++) {
    const artifacts = [...randomRepository({ seed, components, versions, ...LIKENESS }), ...more(seed)];
    const catalogue = createCatalogue(artifacts, 1);
    const asked = request(APPLICATIONS);
    const resolution = resolve(asked, catalogue);
    if (resolution.outcome !== 'plan') continue;
    solvable.push({ catalogue, asked });
    // One more application, which excludes what the others cannot do without: the deepest such thing.
    for (const { name } of resolution.plan.steps) {
      const twin = {
        catalogue: createCatalogue([...artifacts, artifact('excludes 1.0.0', { conflicts: { [name]: '*' } })], 1),
        asked: request([...APPLICATIONS, 'excludes']),
      };
      if (resolve(twin.asked, twin.catalogue).outcome === 'plan') continue;
      unsolvable.push(twin);
      break;
    }
  }
  return { solvable, unsolvable };
}

async function values<T>(problem: readonly Problem[], measure: (one: Problem) => Promise<T> | T): Promise<T[]> {
  const [first] = problem;
  if (first) await measure(first);
  const found: T[] = [];
  for (const one of problem) {
    await turn();
    found.push(await measure(one));
  }
  return found;
}

function duration({ asked, catalogue }: Problem): number {
  const begun = performance.now();
  resolve(asked, catalogue);
  return performance.now() - begun;
}

/** Milliseconds. */
interface Block {
  /** The longest time in which this thread's event loop did not get its turn. */
  readonly wall: number;
  /** The most that this thread itself did without giving it its turn: on a machine that is busy otherwise it is less. */
  readonly own: number;
}

async function longestBlock(work: () => Promise<unknown>): Promise<Block> {
  const cpu = () => {
    const { user, system } = process.threadCpuUsage();
    return (user + system) / 1000;
  };
  const longest = { wall: 0, own: 0 };
  let since = { wall: performance.now(), own: cpu() };
  const note = () => {
    const now = { wall: performance.now(), own: cpu() };
    longest.wall = Math.max(longest.wall, now.wall - since.wall);
    longest.own = Math.max(longest.own, now.own - since.own);
    since = now;
  };
  const ticking = setInterval(note, 1);
  await work();
  await sleep(5);
  clearInterval(ticking);
  return longest;
}

function blockRows(name: string, found: readonly Block[]): Row[] {
  return [
    row(
      `${name}, longest block`,
      20,
      found.map(({ wall }) => wall),
      true,
    ),
    row(
      `${name}, longest block, own work`,
      20,
      found.map(({ own }) => own),
      true,
    ),
  ];
}

/** `greatest`: where the worst counts, not the middle. */
function row(name: string, aim: number, found: readonly number[], greatest = false): Row {
  const sorted = found.toSorted((a, b) => a - b);
  const rounded = (value = Number.NaN) => Number(value.toPrecision(4));
  const value = rounded(greatest ? sorted.at(-1) : sorted[Math.floor(sorted.length / 2)]);
  const spread = [rounded(sorted[0]), rounded(sorted.at(-1))] as const;
  return { name, value, unit: 'ms', baseline: null, ratio: null, aim, better: 'lower', runs: found.length, spread };
}

await using solver = createSolverThread();
/** As a node does it: the search in its thread, with a copy of the catalogue that is brought up to date first. */
function block({ asked, catalogue }: Problem): Promise<Block> {
  const answers = createAnswers({ keep: 1, solver });
  return longestBlock(() => answers.find('bench', 'class', asked, catalogue));
}

/** Nothing is kept of one repository when the next is looked at, as a node keeps no more than its own. */
async function measure(size: string, aim: number, { solvable, unsolvable }: ReturnType<typeof problems>) {
  return [
    row(size, aim, await values(solvable, duration)),
    row(`${size}, unsolvable`, 2 * aim, await values(unsolvable, duration)),
    ...blockRows(size, await values([...solvable, ...unsolvable], block)),
  ];
}

const bystanders = (seed: number): Artifact[] =>
  randomRepository({ seed, components: 1990, versions: 4, ...LIKENESS }).map((one) => {
    const rename = (text: string) => text.replaceAll(/"c(\d+)"/g, '"other$1"');
    return JSON.parse(rename(JSON.stringify(one))) as Artifact;
  });

const rows = [
  ...(await measure('30 components x 8 versions', 20, problems(30, 8))),
  ...(await measure('80 components x 12 versions', 300, problems(80, 12))),
  ...(await measure('300 components x 20 versions', 2000, problems(300, 20))),
  ...(await measure('2,000 artifacts, 10 of them matter', 10, problems(10, 8, bystanders))),
  ...blockRows('2,000 artifacts after a publication', await afterPublications()),
];

/** Each time one version is published, the catalogue is read from the database again, and a question is asked. */
async function afterPublications(): Promise<readonly Block[]> {
  const asked = request(APPLICATIONS);
  let catalogue = createCatalogue(
    [...randomRepository({ seed: 1, components: 10, versions: 8, ...LIKENESS }), ...bystanders(1)],
    1,
  );
  const folder = await mkdtemp(join(tmpdir(), 'leonore-bench-'));
  await using cleaning = new AsyncDisposableStack();
  cleaning.defer(() => rm(folder, { recursive: true, force: true }));
  const repositories = cleaning.use(await openSqliteRepositories({ file: join(folder, 'leonore.db') }));
  const publish = (builds: readonly Artifact[]) =>
    repositories.write(async (set) => {
      for (const build of builds) {
        const segments = [{ encoding: 'gzip' as const, sha256: build.contentSha256, size: 1 }];
        await set.artifacts.insert(DEFAULT_TENANT, { ...build, segments }, []);
      }
    });
  await publish(catalogue.names.flatMap((name) => catalogue.versions(name).flatMap(({ builds }) => builds)));
  const pacer = createPacer();
  const answers = createAnswers({ keep: 1, solver });
  const found: Block[] = [];
  for (let publication = 0; publication <= RUNS; publication++) {
    await publish([artifact(`c9 ${10 + publication}.0.0`)]);
    const longest = await longestBlock(async () => {
      const builds = await repositories.read.artifacts.all(DEFAULT_TENANT);
      catalogue = await pacer.run(updatingCatalogue(catalogue, builds, publication + 2));
      await answers.find('bench', 'class', asked, catalogue);
    });
    // The first one warms up.
    if (publication > 0) found.push(longest);
  }
  return found;
}

const [cpu] = cpus();
const machine = {
  cpu: cpu?.model ?? 'unknown',
  cores: availableParallelism(),
  memory: totalmem(),
  os: type(),
  node: process.version,
};
const report = { bench: 'resolve', machine, commit: commit(), rows };

function commit(): string {
  try {
    const git = (...args: string[]) => execFileSync('git', args, { cwd: import.meta.dirname, encoding: 'utf8' }).trim();
    return git('rev-parse', 'HEAD') + (git('status', '--porcelain', '--untracked-files=no') === '' ? '' : '-dirty');
  } catch {
    return 'unknown';
  }
}

console.log(
  `bench:resolve at ${report.commit.slice(0, 12)}; ${machine.cpu}, ${machine.cores} cores, Node ${machine.node}\n`,
);
console.table(
  Object.fromEntries(
    rows.map(({ name, value, spread, runs, aim }) => [
      name,
      { 'median (block: greatest) ms': value, spread: spread.join(' .. '), runs, 'aim <= ms': aim },
    ]),
  ),
);
const { values: flags } = parseArgs({ options: { json: { type: 'string' } } });
if (flags.json !== undefined) writeFileSync(flags.json, `${JSON.stringify(report, undefined, 2)}\n`);
