import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isLeonoreError } from '@leonore/protocol';
import { parseAddress } from './address.ts';
import { parseLabelChanges, parseLabels, parseNameAndVersion } from './words.ts';

const usage = (error: unknown) => isLeonoreError(error, 'cli.usage');

describe('words of a call', () => {
  it('labels', () => {
    assert.deepEqual(parseLabels(['site=vienna', 'note=a=b', 'empty=']), { site: 'vienna', note: 'a=b', empty: '' });
    for (const bad of ['site', '=x', '-x=1', 'a b=1']) assert.throws(() => parseLabels([bad]), usage, bad);
  });

  it('label changes', () => {
    assert.deepEqual(parseLabelChanges(['site=vienna', 'old-', 'dash=x-']), { site: 'vienna', old: null, dash: 'x-' });
    for (const bad of ['-', 'neither', 'a b-']) assert.throws(() => parseLabelChanges([bad]), usage, bad);
  });

  it('names with versions', () => {
    assert.deepEqual(parseNameAndVersion('svm'), { name: 'svm', version: undefined });
    assert.deepEqual(parseNameAndVersion('svm@1.2.3'), { name: 'svm', version: '1.2.3' });
    for (const bad of ['@1', 'svm@']) assert.throws(() => parseNameAndVersion(bad), usage, bad);
  });

  it('addresses', () => {
    assert.deepEqual(parseAddress('--http', '0.0.0.0:80'), { host: '0.0.0.0', port: 80 });
    assert.deepEqual(parseAddress('--http', '8080'), { host: '127.0.0.1', port: 8080 });
    assert.deepEqual(parseAddress('--http', '[::1]:0'), { host: '::1', port: 0 });
    for (const bad of ['', ':80', 'host:', 'host:x', 'h:70000', '::1:80', 'http://h:80']) {
      assert.throws(() => parseAddress('--http', bad), usage, bad);
    }
  });
});
