import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { proxyCredentials } from './proxy-credentials.ts';

describe('what a proxy says of a certificate', () => {
  const cases: [string, Record<string, string>, ReturnType<typeof proxyCredentials>][] = [
    ['nothing', { 'x-authority': 'ca' }, undefined],
    [
      'a list',
      { 'x-controller-id': 'gw', 'x-authority': 'ca one; ca two,three' },
      { id: 'gw', authorities: ['ca one', 'ca two', 'three'] },
    ],
    [
      'numbered from 0',
      { 'x-controller-id': 'gw', 'x-authority-0': 'a', 'x-authority-1': 'b', 'x-authority-3': 'd' },
      { id: 'gw', authorities: ['a', 'b'] },
    ],
    [
      'numbered from 1',
      { 'x-controller-id': 'gw', 'x-authority-1': 'a', 'x-authority-2': 'b' },
      { id: 'gw', authorities: ['a', 'b'] },
    ],
    ['no authority', { 'x-controller-id': 'gw', 'x-authority': ' ; ' }, { id: 'gw', authorities: [] }],
    ['in the older way', { 'x-ssl-client-cn': 'gw', 'x-ssl-issuer-hash-1': 'AB' }, { id: 'gw', authorities: ['AB'] }],
    [
      'in both ways',
      { 'x-controller-id': 'new', 'x-ssl-client-cn': 'old', 'x-ssl-issuer-hash-0': 'AB' },
      { id: 'new', authorities: [] },
    ],
  ];
  for (const [says, headers, expected] of cases) it(says, () => assert.deepEqual(proxyCredentials(headers), expected));
});
