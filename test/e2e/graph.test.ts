/** The graph with a real node: who runs and needs an artifact, what it brings in, what each class would get; withdrawing. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type createGatewaySchema, ddiPollSchema, isLeonoreError } from '@leonore/protocol';
import { type Site, spawnLeonore, startSite, waitFor } from '@leonore/testkit';
import { library } from './applications.ts';

let site: Site;
before(async () => {
  site = await startSite();
});
after(() => site[Symbol.asyncDispose]());

type Profile = Exclude<Parameters<typeof createGatewaySchema.parse>[0], undefined>;

async function gateway(id: string, versions: Readonly<Record<string, string>>, libc = 'glibc', more: Profile = {}) {
  const installed = Object.entries(versions).map(([name, version]) => ({ name, version, requested: true }));
  const profile = { os: 'linux', arch: 'arm64', libc, installed };
  await site.client.gateways.create({
    id,
    token: `token-of-${id}`,
    labels: { site: 'vienna' },
    profile,
    ...(more as object),
  });
}

const needing = (artifacts: Record<string, string>, capabilities: Record<string, string> = {}) => ({
  requires: { artifacts, capabilities },
});

async function leonore(...args: string[]) {
  const env = { LEONORE_URL: site.node.httpUrl, LEONORE_TOKEN: site.node.adminToken };
  await using call = spawnLeonore(args, env);
  const code = await call.exited;
  return { code, said: call.output() };
}

describe('the graph of artifacts and gateways', () => {
  before(async () => {
    const glibc = { platform: { libc: 'glibc' } };
    await site.publish(library('svm', '1.2.27'));
    await site.publish(library('svm', '1.2.28', { provides: { 'sedona-vm': '1.2.28' } }));
    await site.publish(library('svm', '2.0.0', glibc));
    await site.publish(library('building-monitor', '1.4.2', needing({ svm: '^1.2.0' })));
    await site.publish(library('building-monitor', '2.1.0', needing({ svm: '>=2' })));
    await site.publish(library('dashboard', '3.0.0', needing({ 'building-monitor': '*' }, { 'sedona-vm': '>=1' })));
    for (let i = 0; i < 14; i++) await gateway(`gw-${String(i).padStart(2, '0')}`, { svm: '1.2.28' });
    await gateway('old-1', { svm: '1.2.27', 'building-monitor': '1.4.2' });
    await gateway('alpine-1', {}, 'musl');
    await gateway('alpine-2', {}, 'musl');
    await gateway('restored-1', { svm: '0.9.0' });
  });

  it('says who runs it and who needs it', async () => {
    const usage = await site.client.artifacts.usage('svm', { transitive: true });
    assert.equal(usage.gateways, 16);
    assert.deepEqual(usage.versions, [
      { version: '1.2.28', gateways: 14, state: 'published' },
      { version: '1.2.27', gateways: 1, state: 'published' },
      { version: '0.9.0', gateways: 1, state: 'unknown' },
    ]);
    assert.deepEqual(usage.examples.at(-1), { id: 'restored-1', version: '0.9.0' });
    assert.deepEqual(
      usage.dependents.map(({ name, version, needs, path }) => [name, version, needs, path]),
      [
        ['building-monitor', '2.1.0', ['svm >=2'], []],
        ['building-monitor', '1.4.2', ['svm ^1.2.0'], []],
        ['dashboard', '3.0.0', ['capability sedona-vm >=1'], []],
      ],
    );
    const bad = await site.client.artifacts.usage('svm', { range: '1.2.27' });
    assert.deepEqual([bad.gateways, bad.examples], [1, [{ id: 'old-1', version: '1.2.27' }]]);
    assert.deepEqual(
      bad.dependents.map(({ name, version }) => `${name} ${version}`),
      ['building-monitor 1.4.2'],
    );
    assert.equal((await site.client.artifacts.usage('svm', { range: '<1.2.28' })).gateways, 2);
    const none = await site.client.artifacts.usage('dashboard');
    assert.deepEqual([none.gateways, none.versions, none.dependents], [0, [], []]);
    await assert.rejects(site.client.artifacts.usage('nobody'), (error) => isLeonoreError(error, 'artifact.unknown'));
    await assert.rejects(site.client.artifacts.usage('svm', { range: 'no range' }), (error) =>
      isLeonoreError(error, 'request.invalid'),
    );
  });

  it('selects by what is installed', async () => {
    const ids = async (selector: string) => (await site.client.gateways.list({ selector })).items.map(({ id }) => id);
    assert.deepEqual(await ids('app/svm in (1.2.27,0.9.0)'), ['old-1', 'restored-1']);
    assert.deepEqual(await ids('app/svm,app/building-monitor'), ['old-1']);
    assert.deepEqual(await ids('!app/svm'), ['alpine-1', 'alpine-2']);
    const rollout = { applications: [{ name: 'svm' }], selector: 'app/nobody' };
    await assert.rejects(
      site.client.rollouts.create(rollout),
      (error) => isLeonoreError(error, 'selector.no-match') && /no gateway has nobody installed/.test(error.message),
    );
    const listed = await leonore('gateway', 'list', '--runs', 'svm@1.2.27', '-o', 'name');
    assert.deepEqual(listed, { code: 0, said: 'old-1\n' });
  });

  it('lets nobody claim by a label what is installed', async () => {
    const words = /app.svm: keys that begin with app\/ say what is installed/;
    const refused = (error: unknown) => isLeonoreError(error, 'request.invalid') && words.test(error.message);
    await assert.rejects(site.client.gateways.label('alpine-1', { 'app/svm': '1.2.28' }), refused);
    await assert.rejects(gateway('liar', {}, 'musl', { labels: { 'app/svm': '1.2.28' } }), refused);
    const body = JSON.stringify({ mode: 'merge', data: { 'app/svm': '1.2.28' }, id: '', status: {} });
    const sent = await fetch(`${site.node.httpUrl}/default/controller/v1/alpine-1/configData`, {
      method: 'PUT',
      headers: { authorization: 'TargetToken token-of-alpine-1', 'content-type': 'application/json' },
      body,
    });
    assert.equal(sent.status, 200);
    assert.equal((await site.client.gateways.get('alpine-1')).profile.attributes['app/svm'], '1.2.28');
    assert.equal((await site.client.artifacts.usage('svm', { range: '1.2.28' })).gateways, 14);
  });

  it('shows what a version brings in', async () => {
    const { needs } = await site.client.artifacts.needs('dashboard', '3.0.0');
    assert.deepEqual(
      needs.map(({ text, candidates }) => [text, candidates.map(({ name, versions }) => [name, ...versions])]),
      [
        ['building-monitor', [['building-monitor', '2.1.0', '1.4.2']]],
        ['capability sedona-vm >=1', [['svm', '1.2.28']]],
      ],
    );
    assert.deepEqual(needs[0]?.candidates[0]?.needs[0]?.candidates, [{ name: 'svm', versions: ['2.0.0'], needs: [] }]);
    const tree = await leonore('artifact', 'tree', 'dashboard');
    assert.equal(tree.code, 0);
    assert.match(
      tree.said,
      /^dashboard 3\.0\.0\n├─ building-monitor: building-monitor 2\.1\.0, or 1\.4\.2\n│ {2}└─ svm >=2: svm 2\.0\.0\n/,
    );
    await assert.rejects(site.client.artifacts.needs('dashboard', '9.9.9'), (error) =>
      isLeonoreError(error, 'artifact.unknown'),
    );
  });

  it('explains for each class of a selection: one answer for 14 gateways', async () => {
    const applications = [{ name: 'building-monitor' as never, range: '2.1.0' }];
    const answer = await site.client.explainClasses({ applications, selector: 'site=vienna' });
    assert.equal(answer.gateways, 18);
    assert.equal(answer.cutOff, undefined);
    assert.deepEqual(
      answer.classes.map(({ gateways, example, platform, resolution }) => [
        gateways,
        example,
        platform.libc,
        resolution.outcome,
      ]),
      [
        [14, 'gw-00', 'glibc', 'plan'],
        [2, 'alpine-1', 'musl', 'unsatisfiable'],
        [1, 'old-1', 'glibc', 'plan'],
        [1, 'restored-1', 'glibc', 'plan'],
      ],
    );
    const one = await site.client.explain({ applications, gateway: 'gw-00' });
    assert.deepEqual(one.resolution, answer.classes[0]?.resolution);
    const shown = await leonore('explain', 'building-monitor@2.1.0', '--select', 'site=vienna');
    assert.equal(shown.code, 1);
    assert.match(
      shown.said,
      /^18 gateways of 4 classes for site=vienna\n\n14 gateways like gw-00 \(linux-arm64-glibc\): /,
    );
    await assert.rejects(site.client.explainClasses({ applications, selector: 'site=graz' }), (error) =>
      isLeonoreError(error, 'selector.no-match'),
    );
    const both = { applications, selector: '*', gateway: 'gw-00' };
    await assert.rejects(site.client.explain(both), (error) => isLeonoreError(error, 'request.invalid'));
  });

  it('says who runs a version before it is withdrawn, and plans again what waits with it', async () => {
    await gateway('new-1', {});
    await gateway('new-2', {});
    const applications = [{ name: 'svm', range: '^1.2' }];
    const rollout = await site.client.rollouts.create({ applications, selector: 'id=new-1', strategy: 'pull' });
    const exact = [{ name: 'svm', range: '1.2.28' }];
    await site.client.rollouts.create({ applications: exact, selector: 'id=new-2', strategy: 'pull' });
    const pending = (id: string) => waitFor(`the task of ${id}`, async () => (await site.client.gateways.get(id)).task);
    const waiting = await pending('new-1');
    const doomed = await pending('new-2');
    const contents = async (id: string | undefined) => {
      const { components } = await site.client.packages.get(id ?? '');
      return components.map(({ name, version }) => `${name} ${version}`);
    };
    assert.deepEqual(await contents(waiting.package), ['svm 1.2.28']);
    assert.equal((await site.client.artifacts.usage('svm', { range: '1.2.28' })).rollouts, 2);
    assert.equal((await site.client.artifacts.usage('svm', { range: '2.0.0' })).rollouts, 0);

    const refused = await leonore('artifact', 'withdraw', 'svm@1.2.28');
    assert.equal(refused.code, 2);
    const { code, said } = await leonore('artifact', 'withdraw', 'svm@1.2.28', '--reason', 'crashes', '--yes');
    assert.equal(code, 0, said);
    const words =
      'svm 1.2.28: 14 gateways run it: gw-00, gw-01, gw-02, gw-03, gw-04, ...; 2 running rollouts ask for it; building-monitor 1.4.2, dashboard 3.0.0 need it\n';
    assert.ok(refused.said.startsWith(words), refused.said);
    assert.equal(said, `${words}withdrew svm 1.2.28 (1 build)\n`);
    const usage = await site.client.artifacts.usage('svm', { range: '1.2.28' });
    assert.deepEqual(usage.versions, [{ version: '1.2.28', gateways: 14, state: 'withdrawn' }]);

    // What waited gets another version at its next poll; what cannot be had otherwise ends with the reason.
    const poll = async (id: string) => {
      const headers = { authorization: `TargetToken token-of-${id}` };
      const response = await fetch(`${site.node.httpUrl}/default/controller/v1/${id}`, { headers });
      return ddiPollSchema.parse(await response.json())._links?.deploymentBase;
    };
    assert.ok(await poll('new-1'));
    const again = await site.client.task(waiting.id);
    assert.equal(again.rollout, rollout.id);
    assert.notEqual(again.package, waiting.package);
    assert.deepEqual(await contents(again.package), ['svm 1.2.27']);
    assert.ok(again.transitions?.some(({ messages }) => messages.some((text) => text.startsWith('planned again'))));
    assert.equal(await poll('new-2'), undefined);
    const ended = await site.client.task(doomed.id);
    assert.equal(ended.state, 'failed');
    assert.match(ended.message ?? '', /svm/);
    // Who has it keeps it: nothing is planned for those.
    assert.equal((await site.client.gateways.get('gw-00')).task, undefined);
  });
});
