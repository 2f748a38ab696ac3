/** Sections 7 and 9: configData, and what the device states that it runs. */
import { feedback, type Scenario, type Step } from './scenario.ts';
import { CHUNKS } from './deployment.ts';

const put = (says: string, json: unknown, status: number, path = 'configData'): Step => ({
  says,
  path: `{id}/${path}`,
  method: 'PUT',
  json,
  status,
  ...(status < 300 ? { body: '' } : {}),
});
const many = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`key-${i}`, 'x']));

export const CONFIG_DATA: readonly Scenario[] = [
  {
    name: 'configData',
    steps: [
      put('merge is what is meant without a mode', { data: { VIN: 'JH4', hwRevision: '2' } }, 200),
      put('what others send beside it is ignored', { id: '', time: '2', status: {}, data: { VIN: 'JH5' } }, 200),
      put('modes are in lower case', { mode: 'MERGE', data: { a: 'b' } }, 400),
      put('an unknown mode', { mode: 'add', data: { a: 'b' } }, 400),
      put('no data', { mode: 'merge' }, 400),
      put('empty data', { mode: 'merge', data: {} }, 400),
      put('a key of 129 characters', { data: { ['k'.repeat(129)]: 'x' } }, 400),
      put('a key of 128', { mode: 'replace', data: { ['k'.repeat(128)]: 'v'.repeat(128) } }, 200),
      put('a value of 129', { data: { a: 'v'.repeat(129) } }, 400),
      put('a key without characters', { data: { '': 'x' } }, 400),
      put('a key that is not printable ASCII', { data: { 'schl\u00fcssel': 'x' } }, 400),
      put('a value that is no text', { data: { a: 7 } }, 400),
      put('100 attributes', { mode: 'replace', data: many(100) }, 200),
      put('101 attributes', { data: { more: 'x' } }, 429),
      put('null deletes in merge', { data: { 'key-0': null, more: 'x' } }, 200),
      put('remove', { mode: 'remove', data: many(99) }, 200),
      put('no body', undefined, 400),
      {
        says: 'no link once it was told',
        path: '{id}',
        status: 200,
        body: { config: { polling: { sleep: '00:05:00' } } },
      },
    ],
  },
  {
    name: 'installedBase',
    steps: [
      { operator: 'rollout' },
      { says: 'it is fetched', path: '{id}/deploymentBase/{task}', status: 200 },
      { says: '404 while it is active', path: '{id}/installedBase/{task}', status: 404 },
      { says: '404 for an unknown one', path: '{id}/installedBase/999999', status: 404 },
      {
        says: 'it is closed',
        path: '{id}/deploymentBase/{task}/feedback',
        method: 'POST',
        json: feedback('closed', 'success', { details: ['done'] }),
        status: 200,
      },
      {
        says: 'the same body as deploymentBase',
        path: '{id}/installedBase/{task}?actionHistory=1',
        status: 200,
        body: {
          id: '{task}',
          deployment: { download: 'forced', update: 'forced', chunks: CHUNKS },
          actionHistory: { status: 'SUCCEEDED', messages: ['done'] },
        },
      },
    ],
  },
  {
    name: 'installedBase, stated by the device',
    steps: [
      put('an unknown set', { name: 'firmware', version: '9.9.9' }, 404, 'installedBase'),
      put('no version', { name: 'firmware' }, 400, 'installedBase'),
      put('recorded', { name: 'firmware', version: '1.0.0' }, 201, 'installedBase'),
      put('known already', { name: 'firmware', version: '1.0.0' }, 200, 'installedBase'),
    ],
  },
];
