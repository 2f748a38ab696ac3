/** `npm run bench:agent`: reads the command line, runs the benchmark, prints what it found. */
import { parseArgs } from 'node:util';
import { errorText } from '@leonore/agent';
import { LeonoreError } from '@leonore/protocol';
import { benchAgent } from './agent-bench.ts';
import { wholeNumber } from './command-line.ts';
import { benchReport, formatReport, writeReport } from './report.ts';

const USAGE = `usage: npm run bench:agent -- [--runs N] [--idle SECONDS] [--quick] [--json FILE]`;
const TOTAL_TIMEOUT_MS = 20 * 60_000;
const FULL = { runs: 3, idle: 20, settle: 20, payloads: [12_000_000, 200_000_000] };
const QUICK = { runs: 1, idle: 5, settle: 8, payloads: [2_000_000, 20_000_000] };

function readCall(args: string[]) {
  const { values } = parseArgs({
    args,
    options: {
      runs: { type: 'string' },
      idle: { type: 'string' },
      quick: { type: 'boolean', default: false },
      json: { type: 'string' },
    },
  });
  const defaults = values.quick ? QUICK : FULL;
  return {
    runs: values.runs === undefined ? defaults.runs : wholeNumber('--runs', values.runs, 1),
    idleMs: 1000 * (values.idle === undefined ? defaults.idle : wholeNumber('--idle', values.idle, 1)),
    settleMs: 1000 * defaults.settle,
    payloads: defaults.payloads,
    jsonFile: values.json,
  };
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

async function main(): Promise<number> {
  let call: ReturnType<typeof readCall>;
  try {
    call = readCall(process.argv.slice(2));
  } catch (error) {
    say(`bench:agent: ${errorText(error)}\n${USAGE}`);
    return 2;
  }
  const interrupted = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.once(name, () => interrupted.abort(new LeonoreError('server.stopping', `ended by ${name}`)));
  }
  const signal = AbortSignal.any([interrupted.signal, AbortSignal.timeout(TOTAL_TIMEOUT_MS)]);
  try {
    const { rows, missing } = await benchAgent({ ...call, say, signal });
    const report = await benchReport('agent', rows);
    process.stdout.write(`\n${formatReport(report)}\n`);
    if (call.jsonFile !== undefined) await writeReport(report, call.jsonFile);
    for (const line of missing) process.stdout.write(`\nnot run: ${line}\n`);
    return 0;
  } catch (error) {
    say(`bench:agent: ${errorText(error)}`);
    return 1;
  }
}

process.exitCode = await main();
