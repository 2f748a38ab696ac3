import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isLeonoreError } from '@leonore/protocol';
import { DEFAULT_SERVER, isLocal, resolveConnection } from './connection.ts';

const config = {
  current: 'lab',
  contexts: {
    lab: { server: 'http://lab:8080', token: 'lab-token' },
    prod: { server: 'https://prod', token: 'prod-token' },
  },
};

describe('resolveConnection', () => {
  it('without anything: a node on this machine', () => {
    assert.deepEqual(resolveConnection({}, {}, { contexts: {} }), { server: DEFAULT_SERVER, token: undefined });
  });

  it('flags win over the environment, which wins over the context', () => {
    const env = { LEONORE_URL: 'http://env', LEONORE_TOKEN: 'env-token' };
    assert.deepEqual(resolveConnection({ server: 'http://flag', token: 'flag' }, env, config), {
      server: 'http://flag',
      token: 'flag',
    });
    assert.deepEqual(resolveConnection({}, env, config), { server: 'http://env', token: 'env-token' });
    assert.deepEqual(resolveConnection({}, {}, config), { server: 'http://lab:8080', token: 'lab-token' });
  });

  it('a context that is named wins over the environment', () => {
    const env = { LEONORE_URL: 'http://env', LEONORE_TOKEN: 'env-token', LEONORE_CONTEXT: 'lab' };
    assert.deepEqual(resolveConnection({ context: 'prod' }, env, config), {
      server: 'https://prod',
      token: 'prod-token',
    });
    assert.deepEqual(resolveConnection({}, env, config), { server: 'http://lab:8080', token: 'lab-token' });
    assert.throws(
      () => resolveConnection({ context: 'no' }, {}, config),
      (e) => isLeonoreError(e, 'cli.usage') && e.message.includes('lab, prod'),
    );
  });

  it('a kept token goes to its own server alone, found by address too', () => {
    assert.equal(resolveConnection({ server: 'http://elsewhere' }, {}, config).token, undefined);
    assert.equal(resolveConnection({}, { LEONORE_URL: 'http://elsewhere' }, config).token, undefined);
    assert.equal(resolveConnection({ server: 'https://prod/' }, {}, config).token, 'prod-token');
    assert.equal(resolveConnection({ server: 'https://prod.evil' }, {}, config).token, undefined);
    assert.equal(resolveConnection({ server: 'http://prod' }, {}, config).token, undefined);
  });

  it('empty variables are none', () => {
    assert.deepEqual(resolveConnection({}, { LEONORE_URL: '', LEONORE_TOKEN: '' }, { contexts: {} }), {
      server: DEFAULT_SERVER,
      token: undefined,
    });
  });

  it('knows what is local', () => {
    for (const url of ['http://localhost:1', 'http://127.0.0.1', 'http://127.9.9.9:8', 'http://[::1]:8080'])
      assert.ok(isLocal(url), url);
    for (const url of ['http://127.0.0.1.evil.org', 'http://10.0.0.1', 'nonsense']) assert.ok(!isLocal(url), url);
  });
});
