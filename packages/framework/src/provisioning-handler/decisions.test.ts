/** The pure decisions of provisioning: what a feedback means, what is wanted, which way a task goes. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  artifactNameSchema,
  type DDI_EXECUTIONS,
  EMPTY_PROFILE,
  installedComponentSchema,
  packageManifestSchema,
  rolloutIdSchema,
  type DdiFeedback,
} from '@leonore/protocol';
import { duration } from './deadlines.ts';
import { installedAfter, messagesOf, missingAfter, stateOf } from './feedback.ts';
import { chooseStrategy } from './strategies/mod.ts';
import { supersedes, wantedApplications } from './wanted.ts';

const name = (text: string) => artifactNameSchema.parse(text);
const app = (text: string, range = '*') => ({ name: name(text), range });
const installed = (text: string, version: string, requested = true) =>
  installedComponentSchema.parse({ name: text, version, requested });

describe('a feedback', () => {
  const status = (
    execution: (typeof DDI_EXECUTIONS)[number],
    finished: 'none' | 'success' | 'failure' = 'none',
  ): DdiFeedback['status'] => ({
    execution,
    result: { finished },
  });
  it('leads to the state that the table in docs/gateway-protocol.md says', () => {
    assert.equal(stateOf(status('closed', 'success')), 'succeeded');
    assert.equal(stateOf(status('closed', 'none')), 'succeeded');
    assert.equal(stateOf(status('closed', 'failure')), 'failed');
    assert.equal(stateOf(status('rejected', 'none')), undefined);
    assert.equal(stateOf(status('rejected', 'failure')), 'rejected');
    assert.equal(stateOf(status('download')), 'downloading');
    for (const execution of ['downloaded', 'proceeding', 'resumed'] as const)
      assert.equal(stateOf(status(execution)), 'installing');
    for (const execution of ['scheduled', 'canceled'] as const) assert.equal(stateOf(status(execution)), undefined);
  });
  it('is bounded in words', () => {
    const messages = messagesOf({
      ...status('proceeding'),
      code: 7,
      details: Array.from({ length: 1000 }, () => 'x'.repeat(1e5)),
    });
    assert.equal(messages.length, 51);
    assert.equal(messages[0]?.length, 4000);
    assert.equal(messages.at(-1), 'Device reported status code: 7');
  });
});

describe('what a gateway has after a package', () => {
  const file = { offset: 0, length: 1, sha256: 'a'.repeat(64) };
  const manifest = packageManifestSchema.parse({
    schemaVersion: 1,
    id: `p-${'0'.repeat(32)}`,
    encoding: 'gzip',
    gatewayClass: { id: 'x', platform: {} },
    components: [
      {
        name: 'svm',
        version: '2.0.0',
        action: 'update',
        requested: false,
        after: [],
        contentSha256: file.sha256,
        segment: file,
        files: [],
        unpackedSize: 0,
      },
    ],
    keep: [{ name: 'lib', version: '1.0.0', requested: true, after: [] }],
    remove: [{ name: 'old', version: '1.0.0' }],
    payloadSize: 1,
  });
  const before = [installed('svm', '1.0.0'), installed('lib', '1.0.0', false), installed('old', '1.0.0')];
  it('is worked out where it does not say', () => {
    assert.deepEqual(
      installedAfter(before, manifest).map((c) => [c.name, c.version, c.requested]),
      [
        ['svm', '2.0.0', false],
        ['lib', '1.0.0', true],
      ],
    );
  });
  it('is compared with what was promised where it does', () => {
    assert.deepEqual(missingAfter(manifest, installedAfter(before, manifest)), []);
    assert.deepEqual(missingAfter(manifest, before), ['svm 2.0.0', 'the removal of old']);
  });
});

describe('what a gateway shall have', () => {
  const rollout = rolloutIdSchema.parse(1);
  const gateway = {
    desired: [
      { ...app('a', '^1'), rollout },
      { ...app('b'), rollout },
    ],
    profile: {
      ...EMPTY_PROFILE,
      installed: [installed('a', '1.0.0'), installed('stray', '1.0.0'), installed('dep', '1.0.0', false)],
    },
  };
  it('is what it should have, what it has on request, and the change', () => {
    const wanted = wantedApplications(gateway, {
      applications: [app('a', '^2'), app('c')],
      remove: ['b'],
      upgrade: false,
    });
    assert.deepEqual(
      wanted.map((w) => `${w.name}@${w.range}`),
      ['a@^2', 'stray@*', 'c@*'],
    );
  });
  it('a newer rollout makes an older one pointless only when it covers all of it', () => {
    const change = (...names: string[]) => ({ applications: names.map((n) => app(n)), remove: [], upgrade: false });
    assert.ok(supersedes(change('a', 'b'), change('a')));
    assert.ok(!supersedes(change('a'), change('a', 'b')));
    assert.ok(supersedes({ applications: [], remove: ['a'], upgrade: false }, change('a')));
  });
});

describe('the strategy', () => {
  const pushAble = {
    profile: { ...EMPTY_PROFILE, strategies: ['pull' as const, 'push' as const] },
    connectedNode: 'n1',
  };
  const away = { ...pushAble, connectedNode: undefined };
  const pullOnly = { profile: EMPTY_PROFILE, connectedNode: undefined };
  it('auto pushes to who is connected, pull and push are as asked, who cannot pulls', () => {
    assert.equal(chooseStrategy('auto', pushAble), 'push');
    assert.equal(chooseStrategy('auto', away), 'pull');
    assert.equal(chooseStrategy('pull', pushAble), 'pull');
    assert.equal(chooseStrategy('push', away), 'push');
    assert.equal(chooseStrategy('push', pullOnly), 'pull');
  });
});

it('durations are said in words', () => {
  assert.deepEqual([45_000, 720_000, 10_800_000, 604_800_000].map(duration), ['45 s', '12 min', '3 h', '7 d']);
});
