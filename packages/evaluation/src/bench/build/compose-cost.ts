/** What it costs to compose a package for a class of gateways, beside writing the same package as a file of its own. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { PackedArtifact } from '@leonore/app-package';
import { type BenchRow, benchRow } from '../report.ts';
import { median, percentile } from '../statistics.ts';
import { type BuildBench, megabytes } from './bench-context.ts';
import { runJson } from './run-json.ts';

const COMPOSE = join(import.meta.dirname, '../../../../framework/src/package-builder/compose.bench.ts');
const AIM_MS = 1;

/** As compose.bench.ts writes it. */
interface ComposeRun {
  readonly packageBytes: number;
  readonly headerBytes: number;
  /** Of each package, one after another. */
  readonly eachMs: readonly number[];
  /** Of a transaction that changes one small row, each. */
  readonly commitMs: readonly number[];
  /** Of a package when all are asked for at once. */
  readonly togetherMs: number;
  readonly copyMs: number;
  readonly blobBytesGrown: number;
  readonly databaseBytesPerPackage: number;
  readonly peakRss: number;
}

export interface ComposeCost {
  readonly rows: BenchRow[];
  /** Bytes of the composing process's memory at its highest. */
  readonly peakRss: readonly number[];
}

/** Packages of all these artifacts, the last of which was asked for. */
export async function composeCost(
  bench: BuildBench,
  packed: readonly PackedArtifact[],
  runs: number,
): Promise<ComposeCost> {
  const file = join(bench.folder, `to-compose-${packed.at(-1)?.manifest.name}.json`);
  await writeFile(file, JSON.stringify(packed));
  const found: ComposeRun[] = [];
  for (let number = 0; number < runs; number++) {
    const args = ['--packed', file, '--packages', String(bench.packages)];
    found.push(await runJson<ComposeRun>(COMPOSE, args, bench.signal));
    bench.say(`composed packages of ${megabytes(found[0]?.packageBytes ?? 0)}: run ${number + 1} of ${runs}`);
  }
  return { rows: rowsOf(bench, found), peakRss: found.map(({ peakRss }) => peakRss) };
}

const oneByOne = ({ eachMs }: ComposeRun): number => median(eachMs);

function rowsOf({ packages }: BuildBench, found: readonly ComposeRun[]): BenchRow[] {
  const what = `compose ${packages} packages of ${megabytes(found[0]?.packageBytes ?? 0)}`;
  type Value = (run: ComposeRun) => number;
  const row = (name: string, unit: string, of: Value, aim?: number) =>
    benchRow(`${what}: ${name}`, unit, found.map(of), aim === undefined ? {} : { aim });
  const beside = (baseline: string, theirs: Value) =>
    benchRow(`${what}: one by one, beside ${baseline}`, 'ms', found.map(oneByOne), {
      baseline: { name: baseline, values: found.map(theirs) },
    });
  return [
    row('each, one by one', 'ms', oneByOne, AIM_MS),
    row('one by one, p99', 'ms', ({ eachMs }) => percentile(eachMs, 0.99)),
    row('each, all at once', 'ms', ({ togetherMs }) => togetherMs, AIM_MS),
    beside('a commit', ({ commitMs }) => median(commitMs)),
    beside('writing it as a file', ({ copyMs }) => copyMs),
    row('blob store grows by', 'B', ({ blobBytesGrown }) => blobBytesGrown, 0),
    row('database grows by, each', 'kB', ({ databaseBytesPerPackage }) => databaseBytesPerPackage / 1000),
    row('header of each', 'kB', ({ headerBytes }) => headerBytes / 1000),
  ];
}
