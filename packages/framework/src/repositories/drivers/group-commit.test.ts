import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { DatabaseSync } from 'node:sqlite';
import { describe, it, type TestContext } from 'node:test';
import { createGroupCommit } from './group-commit.ts';

function open(t: TestContext, limits = { maxWorks: 500, maxMs: 1000 }) {
  const database = new DatabaseSync(':memory:');
  t.after(() => database.close());
  database.exec(`
    create table parent(id integer primary key) strict;
    create table child(parent integer not null references parent(id) deferrable initially deferred) strict;
    create table row(id integer primary key) strict`);
  const insert = database.prepare('insert into row(id) values (?)');
  const rows = database.prepare('select count(*) as count from row');
  const exec = t.mock.method(database, 'exec');
  return {
    database,
    commits: createGroupCommit(database, limits),
    add: (id: number) => {
      insert.run(id);
      return Promise.resolve(id);
    },
    count: () => rows.get()?.['count'],
    said: (statement: string) => exec.mock.calls.filter((call) => call.arguments[0] === statement).length,
  };
}

describe('writes that wait at the same time', () => {
  it('share one commit', async (t) => {
    const { commits, add, said } = open(t);
    const ids = Array.from({ length: 400 }, (_, i) => i);
    assert.deepEqual(await Promise.all(ids.map((id) => commits.write(() => add(id)))), ids);
    assert.equal(said('commit'), 1);
  });

  it('are spread over several commits when they are many', async (t) => {
    const { commits, add, said, count } = open(t, { maxWorks: 100, maxMs: 1000 });
    await Promise.all(Array.from({ length: 450 }, (_, id) => commits.write(() => add(id))));
    assert.deepEqual([said('commit'), count()], [5, 450]);
  });

  it('leave the event loop its turns when they take long', async (t) => {
    const { commits, said } = open(t, { maxWorks: 500, maxMs: 5 });
    let turns = 0;
    const turn = setInterval(() => turns++, 1);
    const slow = () => {
      const until = performance.now() + 4;
      while (performance.now() < until);
      return Promise.resolve();
    };
    await Promise.all(Array.from({ length: 30 }, () => commits.write(slow)));
    clearInterval(turn);
    assert.ok(said('commit') >= 15, `${said('commit')} commits`);
    assert.ok(turns >= 10, `${turns} turns`);
  });

  it('all reject when their commit fails, and the next batch is served', async (t) => {
    const { commits, add, count, database } = open(t);
    const orphan = () => {
      database.prepare('insert into child(parent) values (99)').run();
      return Promise.resolve();
    };
    const outcomes = await Promise.allSettled([
      commits.write(() => add(1)),
      commits.write(orphan),
      commits.write(() => Promise.reject(new Error('its own reason'))),
      commits.write(() => add(2)),
    ]);
    const reasons = outcomes.map((outcome) => (outcome.status === 'rejected' ? String(outcome.reason) : 'fulfilled'));
    assert.match(reasons[0] ?? '', /FOREIGN KEY/);
    assert.deepEqual([reasons[1], reasons[3]], [reasons[0], reasons[0]]);
    assert.equal(reasons[2], 'Error: its own reason');
    assert.equal(count(), 0);
    assert.equal(await commits.write(() => add(3)), 3);
    assert.equal(count(), 1);
  });

  it('all reject when one of them loses the whole transaction, and what came before is not kept', async (t) => {
    const { commits, add, count, database } = open(t);
    // What SQLite does by itself on a full disk or a failing one.
    const lose = () => {
      database.exec('rollback');
      return Promise.reject(new Error('disk I/O error'));
    };
    const outcomes = await Promise.allSettled([commits.write(() => add(1)), commits.write(lose)]);
    assert.deepEqual(
      outcomes.map((outcome) => outcome.status),
      ['rejected', 'rejected'],
    );
    assert.equal(count(), 0);
    await commits.write(() => add(2));
    assert.equal(count(), 1);
  });

  it('are told when no transaction can begin', async (t) => {
    const { commits, add, database } = open(t);
    database.exec('begin');
    database.prepare('insert into row(id) values (7)').run();
    const outcomes = await Promise.allSettled([commits.write(() => add(1)), commits.write(() => add(2))]);
    assert.deepEqual(
      outcomes.map((outcome) => outcome.status),
      ['rejected', 'rejected'],
    );
    assert.equal(await commits.write(() => add(3)), 3);
  });

  it('run in the context of who began them', async (t) => {
    const { commits } = open(t);
    const context = new AsyncLocalStorage<string>();
    const look = () => commits.write(() => Promise.resolve(context.getStore()));
    assert.deepEqual(await Promise.all([context.run('a', look), context.run('b', look), look()]), [
      'a',
      'b',
      undefined,
    ]);
  });

  it('that wait at the end are still written; later ones are refused', async (t) => {
    const { commits, add, count } = open(t, { maxWorks: 10, maxMs: 1000 });
    const waiting = Promise.all(Array.from({ length: 35 }, (_, id) => commits.write(() => add(id))));
    await commits[Symbol.asyncDispose]();
    assert.equal(count(), 35);
    await waiting;
    await assert.rejects(
      commits.write(() => add(99)),
      { code: 'server.stopping' },
    );
  });
});
