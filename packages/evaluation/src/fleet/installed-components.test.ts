import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type InstalledComponent, type PackageManifest, runSchema } from '@leonore/protocol';
import { afterPackage } from './installed-components.ts';

type Change = Pick<PackageManifest, 'components' | 'keep' | 'remove'>;
const component = (name: string, version: string, more: object = {}): Change['components'][number] =>
  ({ name, version, action: 'install', requested: true, after: [], files: [], ...more }) as never;
const there = (name: string, version: string, more: object = {}): InstalledComponent =>
  ({ name, version, state: 'installed', requested: true, ...more }) as never;
const NOTHING: Change = { components: [], keep: [], remove: [] };

void test('installs, updates, removes and keeps', () => {
  const before = [there('old', '1.0.0'), there('svm', '1.0.0'), there('lib', '3.0.0'), there('own', '9.0.0')];
  const after = afterPackage(before, {
    components: [
      component('svm', '2.0.0', { action: 'update' }),
      component('app', '1.0.0', { run: runSchema.parse({}) }),
    ],
    keep: [{ name: 'lib', version: '3.0.0', requested: false, after: [] } as never],
    remove: [{ name: 'old', version: '1.0.0' } as never],
  });
  assert.deepEqual(after, [
    there('svm', '2.0.0'),
    there('lib', '3.0.0', { requested: false }),
    there('own', '9.0.0'),
    there('app', '1.0.0', { state: 'running' }),
  ]);
});

void test('a package that changes nothing leaves all as it is, and nothing is changed in place', () => {
  const before = Object.freeze([Object.freeze(there('svm', '1.0.0'))]);
  assert.deepEqual(afterPackage(before, NOTHING), before);
});
