/** A short run of `npm run fault:agent`: the agent killed at system calls, and its disk refusing them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { summary } from './figures.ts';
import { type KillsOptions, runKills } from './run-kills.ts';
import { SCENARIOS } from './scenarios.ts';
import { pointsOf, straceVersion } from './strace.ts';

const strace = await straceVersion();
const skip = strace === undefined && 'strace is not here or may not trace; on Debian: apt-get install strace';
/** Always the same points, so that a failure is of the change that it comes with; `npm run fault:agent` draws new ones. */
const seed = 1;
const SHORT: KillsOptions = { kills: 15, seed, scenarios: SCENARIOS, every: false, errors: false, parallel: 2 };

void test('killed before system calls of installations, updates, rollbacks and clean-ups: one version whole each time', {
  skip,
}, async (t) => {
  const figures = await runKills(SHORT);
  t.diagnostic(summary(figures));
  assert.equal(figures.violations.length, 0, summary(figures));
  assert.ok(figures.kills.length >= SHORT.kills, summary(figures));
});

void test('a disk that refuses one call or all from some point on: told, one version runs, and then all goes well again', {
  skip,
}, async (t) => {
  const figures = await runKills({ ...SHORT, kills: 8, errors: true });
  t.diagnostic(summary(figures));
  assert.equal(figures.violations.length, 0, summary(figures));
});

void test('points of a trace: numbered by thread and call, without what only wakes a thread', () => {
  const trace = [
    '10 write(7<anon_inode:[eventfd]>, "", 8) = 8',
    '10 write(8</data/journal>, "{", 1) = 1',
    '11 write(7<anon_inode:[eventfd]>, "", 8) = 8',
    '11 rename("/data/a", "/data/b" <unfinished ...>',
    '11 <... rename resumed>) = 0',
    '11 rename("/data/c", "/data/d") = 0',
    '10 --- SIGCHLD {si_signo=SIGCHLD} ---',
    '11 +++ exited with 0 +++',
  ].join('\n');
  assert.deepEqual(pointsOf(trace), [
    { call: 'write', at: 2 },
    { call: 'rename', at: 1 },
    { call: 'rename', at: 2 },
  ]);
});
