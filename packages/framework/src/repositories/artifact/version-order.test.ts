import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import semver from 'semver';
import { versionOrder } from './version-order.ts';

const number = fc.oneof(fc.nat({ max: 20 }), fc.constantFrom(2 ** 31, Number.MAX_SAFE_INTEGER - 1));
const word = fc.oneof(number.map(String), fc.stringMatching(/^[a-z0-9-]{0,3}[A-Za-z-][0-9A-Za-z-]{0,3}$/));
const version = fc
  .tuple(number, number, number, fc.array(word, { maxLength: 4 }))
  .map(([major, minor, patch, prerelease]) => {
    const core = `${major}.${minor}.${patch}`;
    return prerelease.length === 0 ? core : `${core}-${prerelease.join('.')}`;
  });

/** As both databases compare text. */
function byBytes(a: string, b: string): number {
  return Math.sign(Buffer.compare(Buffer.from(versionOrder(a)), Buffer.from(versionOrder(b))));
}

it('versions sort as semver.org orders them', () => {
  fc.assert(
    fc.property(version, version, (a, b) => {
      assert.equal(byBytes(a, b), semver.compare(a, b), `${a} ${b}`);
    }),
    { numRuns: 3000 },
  );
});

it('prereleases of one version sort as semver.org has them in its example', () => {
  const ordered = ['alpha', 'alpha.1', 'alpha.beta', 'beta', 'beta.2', 'beta.11', 'rc.1'].map((one) => `1.0.0-${one}`);
  assert.deepEqual([...ordered, '1.0.0', '1.0.1-0'].toSorted(byBytes), [...ordered, '1.0.0', '1.0.1-0']);
});
