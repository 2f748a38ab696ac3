import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { createCliHome } from '../testing/run-cli.ts';
import { findApplications } from '@leonore/agent';
import { GATEWAY_COUNT } from './cast.ts';

describe('leonore demo', { timeout: 180_000 }, () => {
  it('--exit ends with 0, shows who got what, and leaves nothing behind', async () => {
    await using home = await createCliHome();
    const { code, stdout, stderr } = await home.run(['demo', '--exit'], { env: { TMPDIR: home.folder } });
    assert.equal(code, 0, stderr);
    const [head, ...rows] = stdout.trimEnd().split('\n');
    assert.match(head ?? '', /^GATEWAY +PLATFORM +BUILDING-MONITOR +HELLO-SENSOR/);
    assert.equal(rows.length, GATEWAY_COUNT);
    for (const row of rows) assert.match(row, / ok by pull, \S+ s +ok by (push|pull), /);
    assert.ok(rows.some((row) => row.includes('ok by push')));
    assert.match(stderr, /every task succeeded/);
    assert.deepEqual(await readdir(home.folder), []);
    assert.deepEqual(await findApplications(home.folder), []);
  });

  it('Ctrl-C in the middle takes everything down', async () => {
    await using home = await createCliHome();
    let stopped = false;
    const { code } = await home.run(['demo'], {
      env: { TMPDIR: home.folder },
      onStderr: (text, child) => {
        if (stopped || !text.includes('building-monitor to every gateway')) return;
        stopped = true;
        child.kill('SIGINT');
      },
    });
    assert.equal(code, 130);
    assert.deepEqual(await readdir(home.folder), []);
    assert.deepEqual(await findApplications(home.folder), []);
  });
});
