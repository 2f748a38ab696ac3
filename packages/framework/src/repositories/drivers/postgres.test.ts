import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { freePort, startPostgres, waitFor } from '@leonore/testkit';
import pg from 'pg';
import { gateway, tenantNamed } from '../conformance/samples.ts';
import { openPostgresRepositories, openRepositories } from '../mod.ts';

const TENANT = tenantNamed('default');
const UNREACHABLE = { code: 'server.unreachable' };

const server = await startPostgres();
if (server.kind === 'missing') {
  it('the PostgreSQL driver', { skip: server.reason });
} else {
  describe('the PostgreSQL driver', () => {
    after(() => server[Symbol.asyncDispose]());

    it('brings an empty database to its schema when several nodes start at once', async () => {
      const url = await server.createDatabase();
      const nodes = await Promise.all(Array.from({ length: 4 }, () => openRepositories(url)));
      await Promise.all(nodes.map((node, i) => node.write((set) => set.gateways.insert(TENANT, gateway(`gw-${i}`)))));
      for (const node of nodes) assert.equal(await node.read.gateways.count(TENANT), 4);
      for (const node of nodes) await node[Symbol.asyncDispose]();
    });

    it('two nodes that write the same rows at once lose nothing', async () => {
      const url = await server.createDatabase();
      const nodes = [await openPostgresRepositories({ url }), await openPostgresRepositories({ url })];
      const ids = Array.from({ length: 50 }, (_, i) => gateway(`gw-${i}`).id);
      await nodes[0]!.write(async (set) => {
        for (const id of ids) await set.gateways.insert(TENANT, gateway(id));
      });
      const touches = Array.from({ length: 12 }, (_, i) => {
        const seen = new Map((i % 2 === 0 ? ids : ids.toReversed()).map((id) => [id, 1000 + i]));
        return nodes[i % 2]!.write((set) => set.gateways.touch(TENANT, seen));
      });
      await Promise.all(touches);
      const { items } = await nodes[0]!.read.gateways.list(TENANT, { limit: 100 });
      assert.deepEqual(new Set(items.map(({ lastSeenAt }) => lastSeenAt)), new Set([1011]));
      for (const node of nodes) await node[Symbol.asyncDispose]();
    });

    it('tells of a connection that breaks under a write, and goes on with another', async () => {
      const url = await server.createDatabase();
      await using repositories = await openPostgresRepositories({ url });
      const begun = Promise.withResolvers<void>();
      const broken = Promise.withResolvers<void>();
      const write = repositories.write(async (set) => {
        await set.gateways.insert(TENANT, gateway('lost'));
        begun.resolve();
        await broken.promise;
        return set.gateways.count(TENANT);
      });
      const refused = assert.rejects(write, UNREACHABLE);
      await begun.promise;
      await breakConnections(url);
      broken.resolve();
      await refused;
      assert.equal(await repositories.read.gateways.count(TENANT), 0);
      await repositories.write((set) => set.gateways.insert(TENANT, gateway('kept')));
      // Idle ones that break do no harm either.
      await breakConnections(url);
      const count = () => repositories.read.gateways.count(TENANT).catch(() => undefined);
      assert.equal(await waitFor('a connection that works', count), 1);
    });

    it('says so when there is no server, or it goes', async () => {
      const nowhere = `postgres://leonore@127.0.0.1:${await freePort()}/leonore`;
      await assert.rejects(openPostgresRepositories({ url: nowhere }), UNREACHABLE);
      await using repositories = await openPostgresRepositories({ url: server.url });
      await server[Symbol.asyncDispose]();
      await assert.rejects(repositories.ping(), UNREACHABLE);
      await assert.rejects(repositories.read.gateways.count(TENANT), UNREACHABLE);
      await assert.rejects(
        repositories.write((set) => set.gateways.count(TENANT)),
        UNREACHABLE,
      );
    });
  });
}

async function breakConnections(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query(
    'select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()',
  );
  await client.end();
}
