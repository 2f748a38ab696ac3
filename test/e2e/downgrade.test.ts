/** Going down to an older version: the operator's range says that it is meant, the node passes it on, the agent takes it. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { startSite, wordsOf } from '@leonore/testkit';
import { service } from './applications.ts';

void it('a range below what is installed brings the older version', async () => {
  await using site = await startSite();
  await site.agent('gw-1', { strategy: 'pull' });
  await site.publish(service('meter', '1.0.0'));
  await site.publish(service('meter', '2.0.0'));
  for (const version of ['2.0.0', '1.0.0', '2.0.0']) {
    const wanted = { applications: [{ name: 'meter', range: version }], selector: '*' };
    const { rollout, tasks } = await site.ended(await site.client.rollouts.create(wanted));
    assert.equal(rollout.state, 'succeeded', wordsOf(tasks));
    const { profile } = await site.client.gateways.get('gw-1');
    assert.equal(profile.installed?.[0]?.version, version);
  }
});
