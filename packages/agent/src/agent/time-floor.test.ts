import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { AgentState } from './state.ts';
import { createTimeFloor } from './time-floor.ts';

const year = (text: number): number => Date.UTC(text, 5, 1);
const DAY = 86_400_000;
const MADE = year(2026);

function bench(own: number, server?: number, timeFloor?: number) {
  const clocks = { own, server };
  let value: AgentState = { schemaVersion: 1, installed: {}, ...(timeFloor === undefined ? {} : { timeFloor }) };
  const state = {
    get value() {
      return value;
    },
    save: (change: Partial<AgentState>) => {
      value = { ...value, ...change };
      return Promise.resolve();
    },
  };
  const options = { state, serverTime: () => clocks.server, now: () => clocks.own, madeAt: MADE };
  return { clocks, floor: createTimeFloor(options), kept: () => value.timeFloor };
}

void test('a clock at 1970 takes no task that has expired: by the server, by what was kept, by when the agent was made', () => {
  const expires = year(2027);
  assert.match(bench(0, year(2028)).floor.expired(expires) ?? '', /expired at 2027.*the server's clock says 2028/);
  assert.match(bench(0, undefined, year(2028)).floor.expired(expires) ?? '', /expired at 2027.*it was 2028.* already/);
  assert.match(bench(0).floor.expired(year(2025)) ?? '', /before this agent was made; look at the clock of the server/);
  assert.equal(bench(0).floor.expired(expires, 'last'), undefined, 'nobody knows better');
});

void test('a clock at 2099 keeps nothing from being installed once the server has answered, and leaves no trace', async () => {
  const { clocks, floor, kept } = bench(year(2099));
  assert.equal(floor.expired(year(2027)), undefined, 'the server may still tell');
  assert.match(floor.expired(year(2027), 'last') ?? '', /the clock of this gateway says 2099/);
  clocks.server = year(2027) - DAY;
  assert.equal(floor.expired(year(2027), 'last'), undefined);
  assert.equal(floor.now(), clocks.server);
  await floor.keep();
  assert.equal(kept(), undefined);
});

void test('a server at 2099 is believed while it says so, and no longer', async () => {
  const { clocks, floor, kept } = bench(year(2027), year(2099));
  assert.match(floor.expired(year(2028)) ?? '', /server's clock says 2099/);
  await floor.keep();
  assert.equal(kept(), undefined);
  clocks.server = year(2027);
  assert.equal(floor.expired(year(2028), 'last'), undefined);
});

void test('a server at 1970 makes tasks that have expired, and lowers nothing', async () => {
  const { clocks, floor, kept } = bench(year(2027), DAY, year(2027));
  assert.match(floor.expired(9 * DAY) ?? '', /1970.*look at the clock of the server/);
  assert.match(floor.expired(year(2027) - 1) ?? '', /already/);
  assert.equal(floor.now(), year(2027));
  await floor.keep();
  assert.equal(kept(), year(2027));
  clocks.server = year(2028);
  clocks.own = year(2028);
  await floor.keep();
  assert.equal(kept(), year(2028));
});

void test('the time is kept once a day, from a clock at 1970 too', async () => {
  const { clocks, floor, kept } = bench(0, year(2027));
  await floor.keep();
  assert.equal(kept(), year(2027));
  clocks.server = year(2027) + DAY - 1;
  await floor.keep();
  assert.equal(kept(), year(2027));
  clocks.server += 1;
  await floor.keep();
  assert.equal(kept(), year(2027) + DAY);
});

void test('whatever the clocks say and in whichever order: what was kept never falls, and what lies below it stays expired', async () => {
  const moment = fc.integer({ min: 0, max: year(2120) });
  const saying = fc.record({ own: moment, server: fc.option(moment, { nil: undefined }) });
  await fc.assert(
    fc.asyncProperty(fc.array(saying, { minLength: 1, maxLength: 12 }), moment, async (sayings, expires) => {
      const { clocks, floor, kept } = bench(0);
      let known = MADE;
      for (const { own, server } of sayings) {
        Object.assign(clocks, { own, server });
        await floor.keep();
        assert.ok((kept() ?? MADE) >= known);
        known = kept() ?? MADE;
        if (expires < known) assert.ok(floor.expired(expires));
        assert.ok(floor.now() >= known);
      }
    }),
  );
});
