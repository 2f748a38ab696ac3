/** What a real node knows of a real gateway: own facts to select by, nothing told twice, and all of it again when it was lost. */
import assert from 'node:assert/strict';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { startSite, waitFor, type Site, type SiteAgent } from '@leonore/testkit';

for (const strategy of ['pull', 'push'] as const) {
  describe(`the profile, by ${strategy}`, () => {
    let site: Site;
    let agent: SiteAgent;
    const say = async (line: string) => {
      const script = join(site.dir, 'gw-1', 'facts.d', 'line');
      await mkdir(join(site.dir, 'gw-1', 'facts.d'), { recursive: true });
      await writeFile(script, `#!/bin/sh\necho line=${line}\n`);
      await chmod(script, 0o755);
    };
    const profile = async () => (await site.client.gateways.get('gw-1')).profile;
    const selected = (selector: string) => Array.fromAsync(site.client.gateways.all({ selector }), ({ id }) => id);
    const untilPolled = async () => {
      const { lastSeenAt = 0 } = await site.client.gateways.get('gw-1');
      await waitFor(
        'a poll',
        async () => ((await site.client.gateways.get('gw-1')).lastSeenAt ?? 0) > lastSeenAt + 500,
      );
    };
    /** As the gateway itself. */
    const put = async (document: object) => {
      const { secret } = JSON.parse(await readFile(join(agent.root, 'identity.json'), 'utf8')) as { secret: string };
      const answer = await fetch(`${site.node.httpUrl}/gateway/v1/gw-1/profile`, {
        method: 'PUT',
        headers: { authorization: `TargetToken ${secret}`, 'content-type': 'application/json' },
        body: JSON.stringify(document),
      });
      assert.equal(answer.status, 200);
    };

    before(async () => {
      site = await startSite();
      await say('7');
      agent = await site.agent('gw-1', { strategy, poll: '1s' });
    });
    after(() => site[Symbol.asyncDispose]());

    it('comes with the enrolment, and its facts can be selected by', async () => {
      assert.deepEqual(await selected('fact/line=7'), ['gw-1']);
      const { network, memory, uptime, revision, serial } = await profile();
      assert.ok(network && memory && uptime !== undefined && revision !== undefined);
      assert.equal(serial, undefined);
    });

    it('is not told again after a start without news, and with news only those', async () => {
      const before = await profile();
      await agent.restart();
      await untilPolled();
      assert.equal((await profile()).revision, before.revision);
      await say('8');
      await agent.restart();
      await waitFor('the news', async () => (await profile()).facts?.['line'] === '8');
      assert.notEqual((await profile()).revision, before.revision);
    });

    it('is told whole to a node that has lost it', async () => {
      await put({});
      await waitFor('all of it', async () => (await profile()).os !== undefined);
      assert.deepEqual(await selected('fact/line=8'), ['gw-1']);
    });

    it('is told whole to a node that was set back', async () => {
      await put({ os: 'plan9', labels: { of: 'last-year' }, facts: { old: true }, revision: 'of-last-year' });
      await say('9');
      await agent.restart();
      await waitFor('all of it', async () => (await profile()).facts?.['line'] === '9');
      const { os, facts, labels } = await profile();
      assert.deepEqual([os, facts, labels], [process.platform, { line: '9' }, {}]);
    });
  });
}
