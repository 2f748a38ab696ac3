/** `npm run bench:provision`: reads the command line, runs the benchmark, prints what it found. */
import { parseArgs } from 'node:util';
import { errorText } from '@leonore/agent';
import { LeonoreError } from '@leonore/protocol';
import { wholeNumber } from './command-line.ts';
import type { FloorRun } from './floor.ts';
import { benchProvision, type ProvisionResult, type ProvisionRun, type StrategyResult } from './provision-bench.ts';
import { type BenchRow, benchReport, benchRow, formatReport, writeReport } from './report.ts';
import { percentile } from './statistics.ts';

const USAGE = `usage: npm run bench:provision -- [--gateways N] [--runs N] [--poll-interval MS] [--wait SECONDS] [--size BYTES] [--seed N] [--json FILE]`;
/** What a push may take at most, in times of the floor. */
const PUSH_AIM = 3;
const TOTAL_TIMEOUT_MS = 15 * 60_000;

interface Call {
  readonly gateways: number;
  readonly runs: number;
  readonly pollIntervalMs: number;
  readonly waitSeconds: number;
  readonly payloadBytes: number;
  readonly seed: number;
  readonly jsonFile: string | undefined;
}

function readCall(args: string[]): Call {
  const { values } = parseArgs({
    args,
    options: {
      gateways: { type: 'string', default: '1000' },
      runs: { type: 'string', default: '3' },
      'poll-interval': { type: 'string', default: '2000' },
      wait: { type: 'string', default: '0' },
      size: { type: 'string', default: '120000' },
      seed: { type: 'string', default: '1' },
      json: { type: 'string' },
    },
  });
  return {
    gateways: wholeNumber('--gateways', values.gateways, 1),
    runs: wholeNumber('--runs', values.runs, 1),
    pollIntervalMs: wholeNumber('--poll-interval', values['poll-interval'], 10),
    waitSeconds: wholeNumber('--wait', values.wait, 0),
    payloadBytes: wholeNumber('--size', values.size, 1),
    seed: wholeNumber('--seed', values.seed, 0),
    jsonFile: values.json,
  };
}

function rowsOf(result: ProvisionResult): BenchRow[] {
  return [
    ...result.strategies.flatMap(strategyRows),
    benchRow('node memory now', 'MB', [result.nodeUsage.rssBytes / 1e6]),
    benchRow('node memory at its peak', 'MB', [result.nodeUsage.peakRssBytes / 1e6]),
  ];
}

const lastSeconds = (run: Completions): number => Math.max(...run.completionsMs) / 1000;
const medianSeconds = (run: Completions): number => percentile(run.completionsMs, 0.5) / 1000;
const p99Seconds = (run: Completions): number => percentile(run.completionsMs, 0.99) / 1000;
const requests = (run: { requestsPerGateway: number }): number => run.requestsPerGateway;

interface Completions {
  readonly completionsMs: readonly number[];
}

function strategyRows({ strategy, runs, floor }: StrategyResult): BenchRow[] {
  const row = (
    what: string,
    unit: string,
    ours: (run: ProvisionRun) => number,
    theirs?: (run: FloorRun) => number | undefined,
    aim?: number,
  ): BenchRow => {
    const values = theirs ? floor.flatMap((run) => theirs(run) ?? []) : [];
    return benchRow(`${strategy}: ${what}`, unit, runs.map(ours), {
      ...(values.length > 0 ? { baseline: { name: 'nginx', values } } : {}),
      ...(aim === undefined ? {} : { aim }),
    });
  };
  return [
    row('request to last success', 's', lastSeconds, lastSeconds, strategy === 'push' ? PUSH_AIM : undefined),
    row('a gateway, median', 's', medianSeconds, medianSeconds),
    row('a gateway, p99', 's', p99Seconds, p99Seconds),
    row('requests of a gateway', 'n', requests, requests),
    row(
      'server CPU',
      's',
      (run) => run.nodeCpuSeconds,
      (run) => run.serverCpuSeconds,
    ),
    row('simulator CPU', 's', (run) => run.simulatorCpuSeconds),
  ];
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

async function main(): Promise<number> {
  let call: Call;
  try {
    call = readCall(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`bench:provision: ${errorText(error)}\n${USAGE}\n`);
    return 2;
  }
  const interrupted = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.once(name, () => interrupted.abort(new LeonoreError('server.stopping', `ended by ${name}`)));
  }
  const signal = AbortSignal.any([interrupted.signal, AbortSignal.timeout(TOTAL_TIMEOUT_MS)]);
  try {
    const { gateways, runs, pollIntervalMs, waitSeconds, payloadBytes } = call;
    const held = waitSeconds > 0 ? `, and a poll without an answer may be held for ${waitSeconds} s` : '';
    say(
      `${gateways} gateways, ${payloadBytes} bytes, ${runs} runs each; by pull they poll every ${pollIntervalMs} ms${held}`,
    );
    const result = await benchProvision({ ...call, floor: true, say }, signal);
    const report = await benchReport('provision', rowsOf(result));
    process.stdout.write(`\n${formatReport(report)}\n`);
    if (call.jsonFile !== undefined) await writeReport(report, call.jsonFile);
    if (result.floorMissing !== undefined) process.stdout.write(`\nfloor: not run, ${result.floorMissing}\n`);
    return 0;
  } catch (error) {
    process.stderr.write(`bench:provision: ${errorText(error)}\n`);
    return 1;
  }
}

process.exitCode = await main();
