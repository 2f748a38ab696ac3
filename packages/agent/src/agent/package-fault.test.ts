import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digest, installedSet, manifest } from '../test-support/manifests.ts';
import { APPLICATION_FOLDERS } from './install-paths.ts';
import type { InstalledSet } from './installed.ts';
import { packageFault } from './package-fault.ts';
import { planChange } from './plan.ts';

function fault(before: InstalledSet, wanted: ReturnType<typeof manifest>, hasLauncher: boolean): string | undefined {
  const planned = planChange(before, wanted, 7);
  assert.ok(planned.outcome === 'plan');
  const rules = { allowed: APPLICATION_FOLDERS, root: '/var/lib/leonore', installRoot: '/', hasLauncher };
  return packageFault(wanted, planned.plan, rules);
}
function agent(sketch: { file?: string; still?: boolean } = {}): ReturnType<typeof manifest> {
  const { file = 'leonore-agent.js', still = true } = sketch;
  const wanted = manifest({ components: [{ name: 'leonore-agent', still }] });
  const files = [{ path: `binary/leonore-agent/${file}`, mode: 0o755 as const, size: 1, sha256: digest('') }];
  return { ...wanted, components: wanted.components.map((component) => ({ ...component, files })) };
}

void test('another agent needs a launcher, a file to run, and no container', () => {
  assert.equal(fault({}, agent(), true), undefined);
  assert.match(fault({}, agent(), false) ?? '', /was not started by its launcher/);
  assert.match(fault({}, agent({ file: 'agent.js' }), true) ?? '', /has no binary\/leonore-agent\.js/);
  assert.match(fault({}, agent({ still: false }), true) ?? '', /leave out "run"/);
});

void test('the agent that the gateway came with needs the launcher, too; what leaves the agent as it is does not', () => {
  const before = installedSet({ name: 'leonore-agent', still: true }, { name: 'tool', still: true });
  assert.match(fault(before, manifest({ remove: [{ name: 'leonore-agent' }] }), false) ?? '', /launcher/);
  const other = manifest({ components: [{ name: 'tool', version: '2.0.0', still: true }] });
  assert.equal(fault(before, other, false), undefined);
});
