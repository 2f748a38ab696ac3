import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type InstallPlan, installPlanSchema } from '@leonore/protocol';
import { createPaint } from './paint.ts';
import { renderResolution } from './plan-tree.ts';

const paint = createPaint(false);

function plan(steps: readonly Record<string, unknown>[], remove: readonly unknown[] = []): InstallPlan {
  const defaults = { version: '1.0.0', platform: {}, requested: false, because: 'needed', after: [] };
  return installPlanSchema.parse({ steps: steps.map((step) => ({ ...defaults, ...step })), remove });
}

describe('renderResolution', () => {
  it('shows what is asked for, below it what it needs, numbered in install order', () => {
    const steps = [
      { action: 'keep', name: 'libc-extras' },
      {
        action: 'update',
        name: 'svm',
        version: '1.2.28',
        from: '1.1.0',
        after: ['libc-extras'],
        platform: { os: 'linux' },
      },
      { action: 'install', name: 'monitor', requested: true, because: 'requested', after: ['svm', 'libc-extras'] },
    ];
    const resolution = {
      outcome: 'plan' as const,
      plan: plan(steps, [{ name: 'old', version: '0.1.0', because: 'nobody needs it' }]),
    };
    assert.deepEqual(renderResolution('gw', resolution, paint), [
      'gw: 1 to install, 1 to update, 1 to remove, 1 to keep',
      '├─ 3. install monitor 1.0.0  requested',
      '│  ├─ 2. update svm 1.2.28 (linux-any-any) from 1.1.0  needed',
      '│  │  └─ 1. keep libc-extras 1.0.0  needed',
      '│  └─ 1. keep libc-extras 1.0.0  needed (see above)',
      '└─ remove old 0.1.0  nobody needs it',
    ]);
  });

  it('says when nothing is to be done', () => {
    const resolution = { outcome: 'plan' as const, plan: plan([{ action: 'keep', name: 'svm', requested: true }]) };
    assert.equal(renderResolution('gw', resolution, paint)[0], 'gw: everything is there already');
  });

  it('does not hang on a circle, and loses nobody in it', () => {
    const steps = [
      { action: 'install', name: 'a', after: ['b'] },
      { action: 'install', name: 'b', after: ['a'] },
    ];
    const text = renderResolution('gw', { outcome: 'plan', plan: plan(steps) }, paint).join('\n');
    assert.ok(text.includes('install a') && text.includes('install b'));
  });
});
