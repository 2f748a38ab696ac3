import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { installPathSchema } from '@leonore/protocol';
import fc from 'fast-check';
import { APPLICATION_FOLDERS, installPathFault } from './install-paths.ts';
import type { InstalledEntry, InstalledSet } from './installed.ts';

const entry = (name: string, installPath?: string, folder = '1.0.0'): InstalledEntry =>
  ({ name, version: '1.0.0', folder, ...(installPath === undefined ? {} : { installPath }) }) as InstalledEntry;
const set = (...entries: InstalledEntry[]): InstalledSet => Object.fromEntries(entries.map((one) => [one.name, one]));

interface Change {
  readonly before?: InstalledSet;
  readonly allowed?: readonly string[];
  readonly root?: string;
  readonly installRoot?: string;
}
const fault = (after: InstalledSet, change: Change = {}) => {
  const { before = {}, allowed = APPLICATION_FOLDERS, root = '/var/lib/leonore', installRoot = '/' } = change;
  return installPathFault({ before, after }, { allowed, root, installRoot });
};

void test('folders for applications are allowed, those of the system are not', () => {
  for (const path of ['/opt/svm', '/srv/a/b', '/usr/local/bin/tool', '/var/lib/sax']) {
    assert.equal(fault(set(entry('a', path))), undefined, path);
  }
  const refused = [
    '/etc',
    '/etc/cron.d/x',
    '/usr/bin/env',
    '/proc/1',
    '/opt',
    '/usr/local',
    '/optional/x',
    '/lib',
    '/root/.ssh',
  ];
  for (const path of refused) {
    assert.match(
      fault(set(entry('a', path))) ?? '',
      /a wants to be at .* may only be below \/opt, .*--allow-install-path/,
      path,
    );
  }
  assert.equal(fault(set(entry('a')), { allowed: [] }), undefined, 'nothing is wanted');
});

void test('the same holds where something else stands for /', () => {
  const change = { root: '/tmp/gw', installRoot: '/tmp/gw/rootfs' };
  assert.equal(fault(set(entry('a', '/opt/svm')), change), undefined);
  assert.match(fault(set(entry('a', '/etc/svm')), change) ?? '', /may only be below/);
});

void test('the folder of the agent is out of reach: itself, what is in it, what it is in', () => {
  const change = { allowed: ['/'] };
  for (const path of ['/var/lib/leonore', '/var/lib/leonore/components/x', '/var/lib', '/var']) {
    assert.match(fault(set(entry('a', path)), change) ?? '', /where the agent's own folder is/, path);
  }
  assert.equal(fault(set(entry('a', '/var/lib/leonore-tool')), change), undefined);
});

void test('two cannot be in one place, nor one inside the other, whether they come together or not', () => {
  const both = (a: string, b: string) => fault(set(entry('a', a), entry('b', b)));
  assert.match(both('/opt/x', '/opt/x') ?? '', /a and b both want to be at \/opt\/x/);
  assert.match(both('/opt/x', '/opt/x/y') ?? '', /one lies inside the other/);
  assert.match(both('/opt/x/y', '/opt/x') ?? '', /one lies inside the other/);
  assert.equal(both('/opt/x', '/opt/xy'), undefined);
  const there = entry('b', '/opt/x');
  assert.match(fault(set(entry('a', '/opt/x/y'), there), { before: set(there) }) ?? '', /one lies inside the other/);
  assert.equal(fault(set(entry('a', '/opt/x')), { before: set(there) }), undefined, 'the other one goes');
});

void test('what is there already is not judged anew', () => {
  const there = entry('a', '/home/pi/svm');
  assert.equal(fault(set(there), { before: set(there) }), undefined);
  assert.match(fault(set({ ...there, folder: '2.0.0' }), { before: set(there) }) ?? '', /may only be below/);
});

void test("whatever path gets through is below an allowed folder and not the agent's", () => {
  const part = fc.constantFrom('opt', 'etc', 'var', 'lib', 'leonore', 'usr', 'local', 'x', '...', 'rootfs', '.opt');
  const path = fc.array(part, { minLength: 1, maxLength: 6 }).map((parts) => `/${parts.join('/')}`);
  fc.assert(
    fc.property(path, fc.constantFrom('/', '/var/lib/leonore/rootfs', '/mnt'), (installPath, installRoot) => {
      if (!installPathSchema.safeParse(installPath).success) return;
      if (fault(set(entry('a', installPath)), { installRoot }) !== undefined) return;
      assert.ok(APPLICATION_FOLDERS.some((folder) => installPath.startsWith(`${folder}/`)));
      const real = `${join(installRoot, installPath)}/`;
      assert.ok(real.startsWith('/var/lib/leonore/rootfs/') || !real.startsWith('/var/lib/leonore/'));
    }),
  );
});
