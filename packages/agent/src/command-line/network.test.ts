import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isLeonoreError, parseRate } from '@leonore/protocol';
import { networkOptions } from './network.ts';

const NONE = { downloadWindow: [] };

void test('a rate reads like 50kB/s', () => {
  assert.deepEqual(['50kB/s', '1 MiB/s', '2000', '2000/s'].map(parseRate), [50_000, 2 ** 20, 2000, 2000]);
  for (const text of ['', '0', '-1kB/s', 'fast', '50 kb per s', '50kB/min']) {
    assert.throws(
      () => parseRate(text),
      (error: unknown) => isLeonoreError(error, 'cli.usage'),
      text,
    );
  }
});

void test('flags and the environment become what the agent takes; files are found from the current folder', () => {
  const place = { cwd: '/etc/leonore', env: { HTTPS_PROXY: 'http://proxy:3128', NO_PROXY: 'node.local' } };
  const options = networkOptions(
    { ...NONE, downloadWindow: ['22:00-05:00'], maxDownloadRate: '50kB/s', ca: 'ca.pem' },
    place,
  );
  assert.deepEqual(options, {
    proxy: { HTTPS_PROXY: 'http://proxy:3128', NO_PROXY: 'node.local,localhost,127.0.0.1,::1,[::1]' },
    tls: { ca: '/etc/leonore/ca.pem', cert: undefined, key: undefined },
    downloads: { maxRate: 50_000, windows: [{ from: 1320, to: 300 }] },
  });
  assert.equal(networkOptions({ ...NONE, proxy: 'off' }, place).proxy, undefined);
  assert.deepEqual(networkOptions({ ...NONE, proxy: 'http://other:1' }, place).proxy, {
    HTTP_PROXY: 'http://other:1',
    HTTPS_PROXY: 'http://other:1',
    NO_PROXY: 'node.local',
  });
  assert.throws(() => networkOptions({ ...NONE, downloadWindow: ['at night'] }, place), /reads like 22:00-05:00/);
});
