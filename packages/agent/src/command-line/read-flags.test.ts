import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { isLeonoreError } from '@leonore/protocol';
import { temporaryFolder } from '@leonore/testkit';
import { parseConfig } from './config-file.ts';
import { parseWords, readFlags } from './read-flags.ts';

const place = (env: Record<string, string> = {}, cwd = '/') => ({ cwd, env });
const base = { server: 'http://node', root: '/r' };
const DEFAULTS = { strategy: 'push', applicationUsers: 'own', logLevel: 'info' };
const NONE = { label: [], downloadWindow: [], allowHost: [], allowInstallPath: [] };

void test('the call wins over the environment, that over the file, that over defaults', async () => {
  await using folder = await temporaryFolder();
  const text = 'server=http://file\nlog-level = debug\nstrategy=pull\nid=of-file\n';
  await writeFile(join(folder.path, 'agent.conf'), text);
  const words = parseWords(['--config', 'agent.conf', '--root=/r', '--id', 'of-call']);
  const env = { LEONORE_URL: 'http://env', LEONORE_PROXY: '' };
  const flags = await readFlags(words, place(env, folder.path));
  const { server, logLevel, strategy, id, applicationUsers } = flags;
  assert.deepEqual(
    { server, logLevel, strategy, id, applicationUsers },
    { server: 'http://env', logLevel: 'debug', strategy: 'pull', id: 'of-call', applicationUsers: 'own' },
  );
  assert.ok(!('proxy' in flags), 'an empty variable says nothing');
});

void test('what may be given again is a list, a switch is a switch', async () => {
  const given = parseWords([
    '--label',
    'a=1',
    '--label',
    'b=2',
    '--hardware-ids',
    '--server',
    'http://node',
    '--root',
    '/r',
  ]);
  const { config: _, ...flags } = { config: undefined, ...(await readFlags(given, place())) };
  const expected = { ...NONE, ...DEFAULTS, ...base, label: ['a=1', 'b=2'], hardwareIds: true };
  assert.deepEqual({ ...expected, ...flags }, flags);
  assert.deepEqual((await readFlags({ ...base, label: [] }, place())).label, []);
});

void test('a wrong call says what is wrong', async () => {
  for (const words of [['--sever', 'x'], ['server'], ['--server'], ['--hardware-ids=yes']]) {
    assert.throws(
      () => parseWords(words),
      (error) => isLeonoreError(error, 'cli.usage'),
      words.join(' '),
    );
  }
  await assert.rejects(readFlags({ root: '/r' }, place()), /--server <url> is missing: address of the node/);
  await assert.rejects(readFlags({ server: 'http://node' }, place()), /--root <dir> is missing/);
  await assert.rejects(readFlags({ ...base, strategy: 'magic' }, place()), /--strategy "magic": it is push or pull/);
  await assert.rejects(readFlags({ ...base, config: '/nowhere/agent.conf' }, place()), /agent\.conf cannot be read/);
});

void test('a file has an option a line; each fault names its line', () => {
  const text = '# remark\n\n server = http://node \nlabel=a=1\nlabel=b=2\nhardware-ids=no\nca=\n';
  assert.deepEqual(parseConfig(text, 'f'), { server: 'http://node', label: ['a=1', 'b=2'], hardwareIds: false });
  for (const [line, says] of [
    ['server', /f line 2: "server" is no setting; it reads like id=gw-7/],
    ['serer=x', /f line 2: there is no option "serer"; there are server, id/],
    ['config=x', /f line 2: there is no option "config"/],
    ['__proto__=x', /f line 2: there is no option/],
    ['hardware-ids=maybe', /f line 2: "hardware-ids" is yes or no, not "maybe"/],
    ['id=b', /f line 2: "id" is given a second time/],
  ] as const) {
    assert.throws(() => parseConfig(`id=a\n${line}\n`, 'f'), { code: 'config.invalid', message: says });
  }
});
