/** `npm run bench:build`: reads the command line, runs the benchmark, prints what it found. */
import { parseArgs } from 'node:util';
import { errorText } from '@leonore/agent';
import { LeonoreError } from '@leonore/protocol';
import { benchBuild } from './build/build-bench.ts';
import { wholeNumber } from './command-line.ts';
import { benchReport, formatReport, writeReport } from './report.ts';

const USAGE = `usage: npm run bench:build -- [--runs N] [--packages N] [--size BYTES] [--large BYTES] [--clients N] [--quick] [--json FILE]`;
const TOTAL_TIMEOUT_MS = 15 * 60_000;
const FULL = { runs: 3, packages: 1000, size: 12_000_000, large: 200_000_000, clients: 100 };
const QUICK = { runs: 1, packages: 100, size: 2_000_000, large: 20_000_000, clients: 20 };

function readCall(args: string[]) {
  const { values } = parseArgs({
    args,
    options: {
      runs: { type: 'string' },
      packages: { type: 'string' },
      size: { type: 'string' },
      large: { type: 'string' },
      clients: { type: 'string' },
      quick: { type: 'boolean', default: false },
      json: { type: 'string' },
    },
  });
  const defaults = values.quick ? QUICK : FULL;
  const amount = (key: keyof typeof FULL) => {
    const text = values[key];
    return text === undefined ? defaults[key] : wholeNumber(`--${key}`, text, 1);
  };
  return {
    runs: amount('runs'),
    packages: amount('packages'),
    payloadBytes: amount('size'),
    largeBytes: amount('large'),
    clients: amount('clients'),
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
    say(`bench:build: ${errorText(error)}\n${USAGE}`);
    return 2;
  }
  const interrupted = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.once(name, () => interrupted.abort(new LeonoreError('server.stopping', `ended by ${name}`)));
  }
  const signal = AbortSignal.any([interrupted.signal, AbortSignal.timeout(TOTAL_TIMEOUT_MS)]);
  try {
    const { rows, missing } = await benchBuild({ ...call, releases: true, say, signal });
    const report = await benchReport('build', rows);
    process.stdout.write(`\n${formatReport(report)}\n`);
    if (call.jsonFile !== undefined) await writeReport(report, call.jsonFile);
    for (const line of missing) process.stdout.write(`\nnot run: ${line}\n`);
    return 0;
  } catch (error) {
    say(`bench:build: ${errorText(error)}`);
    return 1;
  }
}

process.exitCode = await main();
