import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Spec, Validation } from '@cyclonedx/cyclonedx-library';
import { isLeonoreError, type PackageSummary } from '@leonore/protocol';
import { type Site, startSite, waitFor } from '@leonore/testkit';

const UNKNOWN = `p-${'0'.repeat(32)}`;
const officialSchema = new Validation.JsonStrictValidator(Spec.Version.v1dot6);

void describe('packages and gateways described by a node', { timeout: 120_000 }, () => {
  let site: Site;
  let old: PackageSummary;
  let young: PackageSummary;

  before(async () => {
    site = await startSite();
    const text = Array.from({ length: 20_000 }, (_, line) => `line ${line * 7919}`).join('\n');
    await site.publish(meter('1.0.0', `${text}\nthe end`));
    await site.publish(meter('1.1.0', `${text}\nanother end`));
    old = await packageFor('gw-1', '1.0.0');
    young = await packageFor('gw-2', '1.1.0');
  });
  after(() => site[Symbol.asyncDispose]());

  function meter(version: string, lines: string) {
    return { manifest: { name: 'meter', version }, binary: { 'lines.txt': lines, 'same.txt': 'same' } };
  }

  /** What a rollout composes for a gateway that never comes. */
  async function packageFor(id: string, version: string): Promise<PackageSummary> {
    await site.client.gateways.create({ id, labels: { version } });
    await site.client.rollouts.create({
      applications: [{ name: 'meter', range: version }],
      selector: `version=${version}`,
    });
    return await waitFor(`a package with ${version}`, async () => {
      const { items } = await site.client.packages.list();
      return items.find(({ components }) => components.some((one) => one.version === version));
    });
  }

  it('tells what changes, with a delta that is made for it', async () => {
    const diff = await site.client.packages.diff(old.id, young.id);
    assert.deepEqual([diff.from, diff.to], [old.id, young.id]);
    const [component] = diff.components;
    assert.ok(component);
    const { bytes, files, ...rest } = component;
    assert.deepEqual(rest, { name: 'meter', change: 'updated', from: '1.0.0', to: '1.1.0' });
    assert.deepEqual(
      files.map(({ path }) => path),
      ['binary/meter/lines.txt'],
    );
    assert.ok(bytes.delta !== undefined && bytes.delta < bytes.full / 10, JSON.stringify(bytes));
    assert.deepEqual(diff.bytes, { full: young.size, least: young.size - bytes.full + bytes.delta });
  });

  it('writes valid CycloneDX of a package, with its files where they are asked for', async () => {
    for (const files of [false, true]) {
      const sbom = await site.client.packages.sbom(old.id, { files });
      assert.equal(await officialSchema.validate(JSON.stringify(sbom)), null);
      const [{ name, version, components = [] }] = sbom['components'] as [Listed];
      assert.deepEqual([name, version], ['meter', '1.0.0']);
      const names = files ? ['binary/meter/lines.txt', 'binary/meter/same.txt'] : [];
      assert.deepEqual(
        components.map((one) => one.name),
        names,
      );
    }
    const url = `${site.node.httpUrl}/api/v1/packages/${old.id}/sbom`;
    const answer = await fetch(url, { headers: { authorization: `Bearer ${site.node.adminToken}` } });
    assert.equal(answer.headers.get('content-type')?.split(';')[0], 'application/vnd.cyclonedx+json');
    await answer.body?.cancel();
  });

  it('writes valid CycloneDX of what a gateway has', async () => {
    const installed = [
      { name: 'meter', version: '1.0.0', state: 'running' as const, requested: true },
      { name: 'brought-by-others', version: '3.0.0' },
    ];
    await site.client.gateways.create({ id: 'gw-3', profile: { installed } });
    const sbom = await site.client.gateways.sbom('gw-3', { files: true });
    assert.equal(await officialSchema.validate(JSON.stringify(sbom)), null);
    const [meter, other] = sbom['components'] as Listed[];
    const [build] = await site.client.artifacts.builds('meter', '1.0.0');
    assert.equal(meter?.hashes?.[0]?.content, build?.contentSha256);
    assert.equal(meter?.components?.length, 2);
    assert.deepEqual([other?.name, other?.hashes], ['brought-by-others', undefined]);
  });

  it('says which package or gateway is not there', async () => {
    const { packages, gateways } = site.client;
    for (const call of [packages.diff(UNKNOWN, old.id), packages.diff(old.id, UNKNOWN), packages.sbom(UNKNOWN)]) {
      await assert.rejects(
        call,
        (error) => isLeonoreError(error, 'package.unknown') && error.message.includes(UNKNOWN),
      );
    }
    await assert.rejects(gateways.sbom('gw-9'), (error) => isLeonoreError(error, 'gateway.unknown'));
    await assert.rejects(packages.diff(old.id, 'p-1'), (error) => isLeonoreError(error, 'request.invalid'));
  });
});

interface Listed {
  readonly name: string;
  readonly version: string;
  readonly hashes?: readonly { readonly content: string }[];
  readonly components?: readonly Listed[];
}
