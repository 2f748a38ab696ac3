/** Sections 4 and 5: the deployment's document in all its variants, and what each feedback does. */
import { feedback, type Scenario, type Step, windowAt } from './scenario.ts';

const now = Date.now();
const HOUR_MS = 3_600_000;

export const CHUNKS = [
  {
    part: 'os',
    version: '1.0.0',
    name: 'firmware',
    artifacts: [
      {
        filename: 'firmware.bin',
        hashes: { sha1: '{sha1}', md5: '{md5}', sha256: '{sha256}' },
        size: '{size}',
        _links: {
          'download-http': { href: '{download}/softwaremodules/{task}/artifacts/firmware.bin' },
          'md5sum-http': { href: '{download}/softwaremodules/{task}/artifacts/firmware.bin.MD5SUM' },
        },
      },
    ],
    metadata: '~.',
  },
];

const document = (handling: object, more: object = {}) => ({
  id: '{task}',
  deployment: { ...handling, chunks: CHUNKS },
  ...more,
});

const get = (says: string, status: number, body?: unknown, query = ''): Step => ({
  says,
  path: `{id}/deploymentBase/{task}${query}`,
  status,
  ...(body === undefined ? {} : { body }),
});
const post = (says: string, json: unknown, status: number): Step => ({
  says,
  path: '{id}/deploymentBase/{task}/feedback',
  method: 'POST',
  json,
  status,
  ...(status === 200 ? { body: '' } : {}),
});
const UNCONDITIONAL = { mode: 'forced', confirm: false } as const;
const FORCED = { download: 'forced', update: 'forced' };
const ATTEMPT = { download: 'attempt', update: 'attempt' };

const variant = (
  name: string,
  handling: Extract<Step, { operator: 'rollout' }>['handling'],
  says: object,
): Scenario => ({
  name: `deploymentBase, ${name}`,
  steps: [{ operator: 'rollout', handling }, get('download and update say how', 200, document(says))],
});

/** DDI's table: what is reported, and what LEONORE's task is by then. */
const TABLE: readonly [execution: string, finished: string, task: Extract<Step, { task: unknown }>['task']][] = [
  ['closed', 'success', 'succeeded'],
  ['closed', 'none', 'succeeded'],
  ['closed', 'failure', 'failed'],
  ['download', 'none', 'downloading'],
  ['download', 'success', 'downloading'],
  ['downloaded', 'success', 'installing'],
  ['downloaded', 'failure', 'installing'],
  ['canceled', 'none', 'offered'],
  ['canceled', 'success', 'offered'],
  ['rejected', 'none', 'offered'],
  ['rejected', 'success', 'offered'],
  ['proceeding', 'none', 'installing'],
  ['proceeding', 'failure', 'installing'],
  ['scheduled', 'none', 'offered'],
  ['resumed', 'none', 'installing'],
];

export const DEPLOYMENT: readonly Scenario[] = [
  variant('forced', undefined, FORCED),
  variant('soft', { mode: 'soft', confirm: false }, ATTEMPT),
  variant('time-forced, before its time', { mode: 'time-forced', forcedAt: now + HOUR_MS, confirm: false }, ATTEMPT),
  variant('time-forced, after its time', { mode: 'time-forced', forcedAt: now - HOUR_MS, confirm: false }, FORCED),
  variant('download only', { mode: 'download-only', confirm: false }, { download: 'forced', update: 'skip' }),
  variant(
    'in its maintenance window',
    { mode: 'forced', confirm: false, window: windowAt(now, true) },
    { ...FORCED, maintenanceWindow: 'available' },
  ),
  variant(
    'soft, in its maintenance window',
    { mode: 'soft', confirm: false, window: windowAt(now, true) },
    { ...ATTEMPT, maintenanceWindow: 'available' },
  ),
  variant(
    'out of its maintenance window',
    { mode: 'forced', confirm: false, window: windowAt(now, false) },
    { download: 'forced', update: 'skip', maintenanceWindow: 'unavailable' },
  ),
  {
    name: 'the heaviest of what waits goes first',
    steps: [
      { operator: 'rollout', handling: { ...UNCONDITIONAL, weight: 5 } },
      { operator: 'rollout', handling: { ...UNCONDITIONAL, weight: 6 }, application: 'settings', as: 'heavy' },
      { says: 'the lighter one waits', path: '{id}/deploymentBase/{task}', status: 404 },
      {
        says: 'the heavier one is there; what operators call application is bApp',
        path: '{id}/deploymentBase/{heavy}',
        status: 200,
        body: '~"part":"bApp","version":"1.0.0","name":"settings"',
      },
      {
        says: 'it is closed',
        path: '{id}/deploymentBase/{heavy}/feedback',
        method: 'POST',
        json: feedback('closed', 'success'),
        status: 200,
      },
      {
        says: 'then the lighter one, with a number that has not fallen',
        path: '{id}',
        status: 200,
        body: {
          config: '~.',
          _links: {
            deploymentBase: { href: '~^{base}/deploymentBase/\\d+\\?' },
            installedBase: '~.',
            configData: '~.',
          },
        },
      },
    ],
  },
  {
    name: 'of equal weight the oldest goes first; without one before all that say so',
    steps: [
      { operator: 'rollout', handling: { ...UNCONDITIONAL, weight: 1000 } },
      { operator: 'rollout', application: 'settings', as: 'plain' },
      { says: 'the one without', path: '{id}/deploymentBase/{plain}', status: 200 },
      { says: 'not the other', path: '{id}/deploymentBase/{task}', status: 404 },
    ],
  },
  {
    name: 'deploymentBase over its life',
    steps: [
      { operator: 'rollout' },
      { task: 'pending' },
      {
        says: '406 changes nothing',
        path: '{id}/deploymentBase/{task}',
        headers: { accept: 'image/png' },
        status: 406,
      },
      { task: 'pending' },
      get('c is ignored', 200, document(FORCED), '?c=17'),
      { task: 'offered' },
      {
        says: 'unchanged: 304',
        path: '{id}/deploymentBase/{task}',
        headers: { 'if-none-match': '{etag}' },
        status: 304,
        body: '',
      },
      get('no history without messages', 200, document(FORCED), '?actionHistory=10'),
      post('words', feedback('proceeding', 'none', { details: ['first', 'second'] }), 200),
      post('and more', feedback('proceeding', 'none', { code: 17, details: ['third'] }), 200),
      get('history: none by default', 200, document(FORCED)),
      get('history: 0 is none', 200, document(FORCED), '?actionHistory=0'),
      get(
        'history: the newest first, as many as are asked for',
        200,
        document(FORCED, {
          actionHistory: { status: 'INSTALLING', messages: ['Device reported status code: 17', 'third'] },
        }),
        '?actionHistory=2',
      ),
      get(
        'history: all for -1',
        200,
        document(FORCED, {
          actionHistory: {
            status: 'INSTALLING',
            messages: ['Device reported status code: 17', 'third', 'second', 'first'],
          },
        }),
        '?actionHistory=-1',
      ),
      post('the end', feedback('closed', 'success'), 200),
      get(
        'a closed action still answers 200; there is nothing to do',
        200,
        document({ download: 'skip', update: 'skip' }),
      ),
      { task: 'succeeded' },
    ],
  },
  ...TABLE.map(
    ([execution, finished, task]): Scenario => ({
      name: `feedback ${execution}, ${finished}`,
      steps: [
        { operator: 'rollout' },
        get('it is fetched', 200),
        post('it is taken', feedback(execution, finished, { details: ['said'] }), 200),
        { task, message: 'said' },
        ...(['succeeded', 'failed'].includes(task)
          ? [post('the action is closed: 410', feedback('closed', 'failure'), 410), { task }]
          : [post('the action is still active', feedback('closed', 'success'), 200)]),
      ],
    }),
  ),
  {
    name: 'feedback that is not one',
    steps: [
      { operator: 'rollout' },
      get('it is fetched', 200),
      post('no status', {}, 400),
      post('no execution', { status: { result: { finished: 'none' } } }, 400),
      post('no result', { status: { execution: 'proceeding' } }, 400),
      post('no finished', { status: { execution: 'proceeding', result: {} } }, 400),
      post('an unknown execution', feedback('dancing', 'none'), 400),
      post('an unknown finished', feedback('closed', 'maybe'), 400),
      post('details that are no array', feedback('proceeding', 'none', { details: 'text' }), 400),
      post('51 messages', feedback('proceeding', 'none', { details: Array.from({ length: 51 }, () => 'x') }), 429),
      {
        says: 'no JSON',
        path: '{id}/deploymentBase/{task}/feedback',
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        text: '{"status":',
        status: 400,
      },
      { task: 'offered' },
      {
        says: 'an unknown action',
        path: '{id}/deploymentBase/999999/feedback',
        method: 'POST',
        json: feedback('closed', 'none'),
        status: 404,
      },
      post(
        'what other clients send beside it is ignored',
        {
          id: 7,
          time: '20261122T101010',
          timestamp: 1_627_997_501_890,
          more: [],
          status: {
            execution: 'closed',
            result: { finished: 'success', progress: { cnt: 2, of: 5 } },
            details: Array.from({ length: 60 }, () => 'a final one is always taken'),
          },
        },
        200,
      ),
      { task: 'succeeded' },
    ],
  },
  {
    name: 'download only, to its end',
    steps: [
      { operator: 'rollout', handling: { mode: 'download-only', confirm: false } },
      get('it is fetched', 200),
      post('SWUpdate says that it skipped it', feedback('closed', 'success', { details: ['Skipped Update.'] }), 200),
      { task: 'offered', message: 'the gateway reports success, but it did not download anything' },
      post('it is there', feedback('downloaded', 'success'), 200),
      { task: 'succeeded', message: 'the gateway has downloaded it, and does not install it' },
      {
        says: 'attributes are asked for; nothing is installed',
        path: '{id}',
        status: 200,
        body: { config: { polling: { sleep: '00:05:00' } }, _links: { configData: { href: '{base}/configData' } } },
      },
      post('no more words', feedback('proceeding', 'none'), 410),
      post('one later end is still taken', feedback('closed', 'success'), 200),
      { task: 'succeeded', message: 'it was installed later' },
      post('but no other', feedback('closed', 'success'), 410),
      {
        says: 'by then it is installed',
        path: '{id}',
        status: 200,
        body: {
          config: { polling: { sleep: '00:05:00' } },
          _links: { installedBase: { href: '{base}/installedBase/{task}' }, configData: { href: '{base}/configData' } },
        },
      },
    ],
  },
  {
    name: 'out of its window nothing was installed, whatever is said',
    steps: [
      { operator: 'rollout', handling: { mode: 'forced', confirm: false, window: windowAt(now, false) } },
      get('it is fetched', 200),
      post('SWUpdate says that it skipped it', feedback('closed', 'success', { details: ['Skipped Update.'] }), 200),
      { task: 'offered', message: 'the gateway reports success, but its maintenance window was not open yet' },
      post('a failure counts', feedback('closed', 'failure', { details: ['no space'] }), 200),
      { task: 'failed', message: 'no space' },
    ],
  },
];
