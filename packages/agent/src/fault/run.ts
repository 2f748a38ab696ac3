/**
 * npm run fault:agent -- [--kills N] [--seed N] [--scenario NAME] [--every] [--at CALL:K] [--errors] [--parallel N] [--report FILE]
 *
 * Kills the agent, or with --errors lets its disk refuse calls, and says what came of it; ends with 1 when anything was
 * not in order.
 */
import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { runKills } from './run-kills.ts';
import { summary } from './figures.ts';
import { SCENARIOS } from './scenarios.ts';
import { straceVersion } from './strace.ts';

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '100' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    scenario: { type: 'string', multiple: true },
    every: { type: 'boolean', default: false },
    at: { type: 'string' },
    errors: { type: 'boolean', default: false },
    parallel: { type: 'string', default: '2' },
    report: { type: 'string' },
  },
});
const wrong = values.scenario?.find((name) => !(SCENARIOS as readonly string[]).includes(name));
if (wrong !== undefined) {
  console.error(`there is no scenario "${wrong}"; there are ${SCENARIOS.join(', ')}`);
  process.exit(2);
}
if ((await straceVersion()) === undefined) {
  console.error('strace is not here, or may not trace; install it (Debian: apt-get install strace) and allow ptrace');
  process.exit(2);
}
const [call, at] = values.at?.split(':') ?? [];
const stopping = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stopping.abort());
const figures = await runKills({
  kills: Number(values.kills),
  seed: Number(values.seed),
  scenarios: SCENARIOS.filter((name) => values.scenario?.includes(name) ?? true),
  every: values.every,
  ...(call === undefined ? {} : { point: { call, at: Number(at) } }),
  errors: values.errors,
  parallel: Number(values.parallel),
  signal: stopping.signal,
  onProgress: (line) => console.error(line),
});
const text = summary(figures);
console.log(text);
if (values.report !== undefined) await writeFile(values.report, `${text}\n`);
process.exitCode = figures.violations.length > 0 ? 1 : 0;
