/** What can be seen of agent-lite without running it: its size, what shellcheck says, and that half of it does nothing. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { temporaryFolder } from '@leonore/testkit';
import { AGENT_LITE, inShells, liteShells } from './lite-shells.ts';

const whole = (await liteShells()).filter((one) => one.whole);

describe('the script of agent-lite', () => {
  it('has at most 400 lines', async () => {
    const lines = (await readFile(AGENT_LITE, 'utf8')).split('\n').length - 1;
    assert.ok(lines <= 400, `${lines} lines`);
  });

  const shellcheck = spawnSync('shellcheck', ['--version']).error === undefined;
  it('is clean for shellcheck', { skip: !shellcheck && 'shellcheck is not installed' }, () => {
    const { status, stdout } = spawnSync('shellcheck', ['--shell=sh', AGENT_LITE], { encoding: 'utf8' });
    assert.equal(status, 0, stdout);
  });

  inShells(whole, 'does nothing when a part of it is missing', async ({ call: [shell], env }) => {
    await using folder = await temporaryFolder();
    const text = await readFile(AGENT_LITE);
    const root = join(folder.path, 'gateway');
    for (let share = 1; share <= 40; share++) {
      const torn = join(folder.path, `torn-${share}`);
      await writeFile(torn, text.subarray(0, Math.floor((text.length * share) / 40) - 2));
      spawnSync(
        shell,
        [torn, '--server', 'http://127.0.0.1:9', '--id', 'gw-1', '--root', root, '--token', 't', '--once'],
        {
          env: { ...process.env, ...env },
          timeout: 60_000,
        },
      );
      assert.ok(!existsSync(root), `cut off after ${share} of 40 parts`);
    }
  });
});
