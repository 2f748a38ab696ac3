/**
 * What a benchmark found, as a table for people and as JSON for machines (the format that every `npm run bench:NAME` writes).
 * Leaves to others: measuring. Judges nothing: aims stand beside the figures, for the reader.
 */
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, release, totalmem, type } from 'node:os';
import { promisify } from 'node:util';
import { median } from './statistics.ts';

export interface BenchRow {
  readonly name: string;
  /** Median over the runs. */
  readonly value: number;
  readonly unit: string;
  /** The same work done by something else in the same run. */
  readonly baseline: { readonly name: string; readonly value: number } | null;
  /** value / baseline value. */
  readonly ratio: number | null;
  /** The ratio (without a baseline: the value) that is aimed at. */
  readonly aim: number | null;
  readonly better: 'lower' | 'higher';
  readonly runs: number;
  /** Least and greatest value of a run. */
  readonly spread: readonly [number, number];
}

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  /** Bytes. */
  readonly memory: number;
  readonly os: string;
  readonly node: string;
}

export interface BenchReport {
  readonly bench: string;
  readonly machine: Machine;
  /** Of the repository; ends in `-dirty` when files differ from it; `unknown` outside of a clone. */
  readonly commit: string;
  readonly rows: readonly BenchRow[];
}

/** A row out of the values of its runs (at least one). */
export function benchRow(
  name: string,
  unit: string,
  values: readonly number[],
  options: { better?: 'lower' | 'higher'; baseline?: { name: string; values: readonly number[] }; aim?: number } = {},
): BenchRow {
  const value = median(values);
  const baseline = options.baseline?.values.length
    ? { name: options.baseline.name, value: median(options.baseline.values) }
    : null;
  return {
    name,
    value: rounded(value),
    unit,
    baseline: baseline && { ...baseline, value: rounded(baseline.value) },
    ratio: baseline && baseline.value > 0 ? rounded(value / baseline.value) : null,
    aim: options.aim ?? null,
    better: options.better ?? 'lower',
    runs: values.length,
    spread: [rounded(Math.min(...values)), rounded(Math.max(...values))],
  };
}

/** Four significant digits; whole numbers stay whole. */
function rounded(value: number): number {
  return Number.isInteger(value) ? value : Number(value.toPrecision(4));
}

export async function benchReport(bench: string, rows: readonly BenchRow[]): Promise<BenchReport> {
  const machine: Machine = {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memory: totalmem(),
    os: await osName(),
    node: process.version,
  };
  return { bench, machine, commit: await currentCommit(), rows };
}

async function osName(): Promise<string> {
  const text = await readFile('/etc/os-release', 'utf8').catch(() => '');
  const pretty = /^PRETTY_NAME="?([^"\n]*)/m.exec(text)?.[1];
  return `${pretty ?? type()}, ${type()} ${release()}`;
}

async function currentCommit(): Promise<string> {
  try {
    const changed = await git('status', '--porcelain', '--untracked-files=no');
    return `${await git('rev-parse', 'HEAD')}${changed === '' ? '' : '-dirty'}`;
  } catch {
    return 'unknown';
  }
}

async function git(...args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)('git', args, { cwd: import.meta.dirname });
  return stdout.trim();
}

const HEADINGS = ['what', 'median', 'spread', 'runs', 'baseline', 'ratio', 'aim'] as const;

/** The report as text: one line for the machine, then a table. */
export function formatReport(report: BenchReport): string {
  const { machine, commit } = report;
  const cells = report.rows.map((row) => [
    row.name,
    `${human(row.value)} ${row.unit}`,
    row.runs > 1 ? `${human(row.spread[0])} .. ${human(row.spread[1])}` : '',
    String(row.runs),
    row.baseline ? `${row.baseline.name} ${human(row.baseline.value)} ${row.unit}` : '',
    row.ratio === null ? '' : `${human(row.ratio)}x`,
    row.aim === null ? '' : `${row.better === 'lower' ? '<=' : '>='} ${human(row.aim)}${row.baseline ? 'x' : ''}`,
  ]);
  const lines = [[...HEADINGS], ...cells];
  const widths = HEADINGS.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  const table = lines.map((line) =>
    line
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
  const memory = `${Math.round(machine.memory / 2 ** 30)} GiB`;
  return [
    `bench:${report.bench} at ${commit.replace(/^([0-9a-f]{12})[0-9a-f]+/, '$1')}`,
    `${machine.cpu}, ${machine.cores} cores, ${memory}, ${machine.os}, Node ${machine.node}`,
    '',
    table[0] ?? '',
    widths.map((width) => '-'.repeat(width)).join('  '),
    ...table.slice(1),
  ].join('\n');
}

function human(value: number): string {
  return value.toLocaleString('en-US', {
    maximumFractionDigits: Math.abs(value) < 10 ? 2 : Math.abs(value) < 100 ? 1 : 0,
  });
}

export async function writeReport(report: BenchReport, file: string): Promise<void> {
  await writeFile(file, `${JSON.stringify(report, undefined, 2)}\n`);
}
