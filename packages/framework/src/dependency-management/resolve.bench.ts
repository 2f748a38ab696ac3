/**
 * `npm run bench:resolve [-- --json FILE]`: how long a newest-first answer takes on generated repositories, and how long
 * the event loop is held up by it. Described in docs/dependencies.md. Judges nothing: aims stand beside the figures.
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { availableParallelism, cpus, totalmem, type } from 'node:os';
import { setImmediate as turn } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { Artifact } from '@leonore/protocol';
import { updatingCatalogue } from './catalogue.ts';
import { artifact, randomRepository, request } from './generate.ts';
import {
  createCatalogue,
  createPacer,
  resolve,
  resolveCooperatively,
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

async function values(problem: readonly Problem[], measure: (one: Problem) => Promise<number> | number) {
  const [first] = problem;
  if (first) await measure(first);
  const found: number[] = [];
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

/** The longest time in which the event loop did not get its turn. */
async function longestBlock(work: (options: { yieldTurn: () => Promise<void> }) => Promise<unknown>): Promise<number> {
  let longest = 0;
  let since = performance.now();
  const note = () => (longest = Math.max(longest, performance.now() - since));
  const yieldTurn = async () => {
    note();
    await turn();
    since = performance.now();
  };
  await work({ yieldTurn });
  note();
  return longest;
}

/** `greatest`: where the worst counts, not the middle. */
function row(name: string, aim: number, found: readonly number[], greatest = false): Row {
  const sorted = found.toSorted((a, b) => a - b);
  const rounded = (value = Number.NaN) => Number(value.toPrecision(4));
  const value = rounded(greatest ? sorted.at(-1) : sorted[Math.floor(sorted.length / 2)]);
  const spread = [rounded(sorted[0]), rounded(sorted.at(-1))] as const;
  return { name, value, unit: 'ms', baseline: null, ratio: null, aim, better: 'lower', runs: found.length, spread };
}

const rows: Row[] = [];
const blocks: Problem[] = [];
for (const [components, versions, aim] of [
  [30, 8, 20],
  [80, 12, 300],
  [300, 20, 2000],
] as const) {
  const { solvable, unsolvable } = problems(components, versions);
  const size = `${components} components x ${versions} versions`;
  rows.push(row(size, aim, await values(solvable, duration)));
  rows.push(row(`${size}, unsolvable`, 2 * aim, await values(unsolvable, duration)));
  blocks.push(...solvable, ...unsolvable);
}

const bystanders = (seed: number): Artifact[] =>
  randomRepository({ seed, components: 1990, versions: 4, ...LIKENESS }).map((one) => {
    const rename = (text: string) => text.replaceAll(/"c(\d+)"/g, '"other$1"');
    return JSON.parse(rename(JSON.stringify(one))) as Artifact;
  });
const large = problems(10, 8, bystanders);
rows.push(row('2,000 artifacts, 10 of them matter', 10, await values(large.solvable, duration)));
rows.push(row('2,000 artifacts, 10 of them matter, unsolvable', 20, await values(large.unsolvable, duration)));

const resolveBlock = ({ asked, catalogue }: Problem) =>
  longestBlock((options) => resolveCooperatively(asked, catalogue, options));
rows.push(row('longest block of the event loop, all of the above', 20, await values(blocks, resolveBlock), true));
const catalogueBlock = ({ catalogue }: Problem) => {
  const builds = catalogue.names.flatMap((name) => catalogue.versions(name).flatMap((version) => version.builds));
  const read = structuredClone<Artifact[]>([...builds, artifact('new 1.0.0')]);
  return longestBlock((options) => createPacer(options).run(updatingCatalogue(catalogue, read, 2)));
};
rows.push(
  row('longest block, 2,000 artifacts after a publication', 20, await values(large.solvable, catalogueBlock), true),
);

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
