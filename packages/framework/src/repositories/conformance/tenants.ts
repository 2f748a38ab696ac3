/** One tenant's rows are out of reach of another's calls: each method that takes a tenant is called with the wrong one. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type ArtifactName, EMPTY_PROFILE, PROFILE_SELECTOR_KEYS, parseSelector, type Tenant } from '@leonore/protocol';
import type { RepositorySet } from '../contract.ts';
import { type OpenEmpty, useDatabase } from './database.ts';
import { artifact, file, gateway, packageRecord, rollout, sha, task, token } from './samples.ts';

export function tenantsAreApart(open: OpenEmpty): void {
  describe('tenants', () => {
    const db = useDatabase(open);

    it('see and change nothing of each other, in any method', async () => {
      const [mine, theirs] = [db.newTenant(), db.newTenant()];
      const build = artifact('svm', '1.0.0');
      const pack = packageRecord('mine');
      const made = await db.write(async (set) => {
        await set.artifacts.insert(mine, build, [file('a')]);
        await set.packages.insert(mine, pack);
        const installed = [
          { name: 'svm' as ArtifactName, version: '1.0.0', state: 'running', requested: true } as const,
        ];
        const profile = { ...EMPTY_PROFILE, installed };
        await set.gateways.insert(mine, gateway('gw', { labels: { secret: 'yes' }, profile }));
        await set.gateways.insertToken(mine, token('t'));
        const id = await set.rollouts.insert(mine, rollout());
        const [first] = await set.rollouts.insertTasks(mine, [task(id, 'gw')]);
        return { rollout: id, task: first!.id };
      });
      const gw = gateway('gw').id;
      const before = await everything(db.read, mine, made);
      const nothing = await everything(db.read, theirs, made);
      assert.deepEqual(nothing, {
        files: [],
        builds: [],
        list: { items: [] },
        all: [],
        revision: 0,
        package: undefined,
        packages: { items: [] },
        gateway: undefined,
        gateways: [],
        listed: { items: [] },
        selected: { items: [] },
        unselected: { items: [] },
        count: 0,
        installedVersions: [],
        running: [],
        keys: [...PROFILE_SELECTOR_KEYS].toSorted(),
        tokens: [],
        rollout: undefined,
        rollouts: { items: [] },
        counts: { ...before.counts, total: 0, pending: 0 },
        hasActive: false,
        task: undefined,
        active: [],
        served: new Set(),
        last: undefined,
        tasks: { items: [] },
        transitions: [],
      });

      await db.write(async (set) => {
        assert.equal(await set.artifacts.withdraw(theirs, 'svm', '1.0.0', 1, 'x'), 0);
        await set.packages.setHashes(theirs, pack.summary.id, { sha1: '', md5: '', sha256: '' });
        await set.gateways.setProfile(theirs, gw, { ...EMPTY_PROFILE, os: 'plan9' });
        await set.gateways.setLabels(theirs, gw, { secret: 'no' });
        await set.gateways.setTokenHash(theirs, gw, 'stolen');
        await set.gateways.touch(theirs, new Map([[gw, 9999]]));
        await set.gateways.setConnected(theirs, gw, 'node');
        const application = { name: 'evil' as ArtifactName, range: '*', rollout: made.rollout };
        await set.gateways.changeDesired(theirs, [gw], { set: [application], remove: [] });
        assert.equal(await set.gateways.remove(theirs, gw), false);
        assert.equal(await set.gateways.removeToken(theirs, 't'), false);
        assert.equal(await set.gateways.redeemToken(theirs, sha('t'), 1500), undefined);
        assert.equal(await set.rollouts.setState(theirs, made.rollout, ['running'], 'aborted', 1), false);
        await set.rollouts.setPlanning(theirs, made.rollout, { planned: true, blockers: [] });
        assert.equal(await set.rollouts.transition(theirs, made.task, 'pending', 'failed', 1, {}), undefined);
      });
      assert.deepEqual(await everything(db.read, mine, made), before);
      assert.deepEqual(await everything(db.read, theirs, made), nothing);
    });

    it('may use the same names', async () => {
      const tenants = [db.newTenant(), db.newTenant()];
      for (const tenant of tenants) {
        await db.write(async (set) => {
          assert.equal(await set.artifacts.insert(tenant, artifact('svm', '1.0.0', {}, tenant), []), 'created');
          assert.equal(await set.packages.insert(tenant, packageRecord('same')), true);
          assert.equal(await set.gateways.insert(tenant, gateway('gw')), true);
          await set.gateways.insertToken(tenant, token('t'));
          const id = await set.rollouts.insert(tenant, rollout());
          assert.equal(id, 1);
          assert.equal((await set.rollouts.insertTasks(tenant, [task(id, 'gw')])).length, 1);
        });
      }
    });
  });
}

type Made = {
  readonly rollout: Awaited<ReturnType<RepositorySet['rollouts']['insert']>>;
  readonly task: ReturnType<typeof Number> & Parameters<RepositorySet['rollouts']['findTask']>[1];
};

/** All that the tenant's reading methods give. */
async function everything(read: RepositorySet, tenant: Tenant, made: Made) {
  const gw = gateway('gw').id;
  const page = { limit: 100 };
  return {
    files: await read.artifacts.files(tenant, artifact('svm', '1.0.0').contentSha256),
    builds: await read.artifacts.builds(tenant, 'svm'),
    list: await read.artifacts.list(tenant, page),
    all: await read.artifacts.all(tenant),
    revision: await read.artifacts.revision(tenant),
    package: await read.packages.find(tenant, packageRecord('mine').summary.id),
    packages: await read.packages.list(tenant, page),
    gateway: await read.gateways.find(tenant, gw),
    gateways: await read.gateways.findMany(tenant, [gw]),
    listed: await read.gateways.list(tenant, page),
    selected: await read.gateways.list(tenant, { ...page, selector: parseSelector('secret=yes') }),
    unselected: await read.gateways.list(tenant, { ...page, selector: parseSelector('!nothing') }),
    count: await read.gateways.count(tenant),
    installedVersions: await read.gateways.installedVersions(tenant, 'svm'),
    running: await read.gateways.gatewaysRunning(tenant, 'svm', ['1.0.0'], 10),
    keys: await read.gateways.selectorKeys(tenant),
    tokens: await read.gateways.listTokens(tenant),
    rollout: await read.rollouts.find(tenant, made.rollout),
    rollouts: await read.rollouts.list(tenant, page),
    counts: await read.rollouts.counts(tenant, made.rollout),
    hasActive: await read.rollouts.hasActiveTasks(tenant, made.rollout),
    task: await read.rollouts.findTask(tenant, made.task),
    active: await read.rollouts.activeTasks(tenant, gw),
    served: await read.rollouts.gatewaysWithTask(tenant, made.rollout, [gw], ['pending']),
    last: await read.rollouts.lastTask(tenant, gw),
    tasks: await read.rollouts.listTasks(tenant, page),
    transitions: await read.rollouts.transitions(tenant, made.task),
  };
}
