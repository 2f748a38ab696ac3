/** Sections 1 to 3: the base, credentials, the poll. */
import { feedback, type Scenario, type Step, windowAt } from './scenario.ts';

const SLEEP = { polling: { sleep: '00:05:00' } };
const now = Date.now();

export const POLL: readonly Scenario[] = [
  {
    name: 'the base',
    steps: [
      {
        says: 'HAL when nothing is accepted in particular; Content-Length, not chunked; links as the request came',
        path: '{id}',
        status: 200,
        answers: {
          'content-type': 'application/hal+json;charset=UTF-8',
          'content-length': '~^\\d+$',
          'transfer-encoding': null,
          etag: '~^".+"$',
        },
        body: { config: SLEEP, _links: { configData: { href: '{base}/configData' } } },
      },
      {
        says: 'application/json is answered where it is accepted, with parameters too',
        path: '{id}',
        headers: { accept: 'application/json;charset=UTF-8' },
        status: 200,
        answers: { 'content-type': 'application/json;charset=UTF-8' },
      },
      {
        says: 'CBOR is answered where it is accepted',
        path: '{id}',
        headers: { accept: 'application/cbor' },
        status: 200,
        answers: { 'content-type': 'application/cbor', 'content-length': '~^\\d+$' },
      },
      { says: 'any other Accept is 406', path: '{id}', headers: { accept: 'text/html' }, status: 406 },
      {
        says: 'and what is refused by q=0 is not taken',
        path: '{id}',
        headers: { accept: 'application/json;q=0' },
        status: 406,
      },
      { says: 'HEAD works where GET works', path: '{id}', method: 'HEAD', status: 200, body: '' },
      { says: 'the wrong verb is 405', path: '{id}', method: 'DELETE', status: 405 },
      { says: 'the wrong verb on feedback is 405', path: '{id}/configData', method: 'POST', json: {}, status: 405 },
      { says: 'the tenant in upper case; links are as it was asked', path: '/DEFAULT/controller/v1/{id}', status: 200 },
      { says: 'an id of 257 characters is 400', path: 'x'.repeat(257), status: 400 },
      { says: 'an id that fills 256 characters is looked at', path: encodeURIComponent('ü'.repeat(256)), status: 401 },
      { says: 'no id is 404', path: '', status: 404 },
      {
        says: 'a body of another type is 415',
        path: '{id}/configData',
        method: 'PUT',
        headers: { 'content-type': 'text/plain' },
        text: 'data',
        status: 415,
      },
      {
        says: 'an error has the members of hawkBit',
        path: '{id}/deploymentBase/2147483647',
        status: 404,
        answers: { 'content-type': '~^application/json' },
        body: { exceptionClass: '~.+', errorCode: '~.+', message: '~.+' },
      },
      { says: 'a number past int32 is no action', path: '{id}/deploymentBase/2147483648', status: 404 },
      { says: 'a word is no action', path: '{id}/deploymentBase/abc', status: 404 },
    ],
  },
  {
    name: 'credentials',
    steps: [
      { says: 'none is 401', path: '{id}', headers: { authorization: null }, status: 401 },
      {
        says: 'schemes are case-sensitive',
        path: '{id}',
        headers: { authorization: 'targettoken token-of-{id}' },
        status: 401,
      },
      { says: 'one blank', path: '{id}', headers: { authorization: 'TargetToken  token-of-{id}' }, status: 401 },
      { says: "another's token is 401", path: '{id}', headers: { authorization: 'TargetToken x' }, status: 401 },
      {
        says: 'a TargetToken registers nobody',
        path: 'nobody',
        headers: { authorization: 'TargetToken x' },
        status: 401,
      },
      { says: 'an unknown tenant lets nobody in', path: '/other/controller/v1/{id}', status: 401 },
      { says: 'a wrong GatewayToken is 401', path: 'fresh', headers: { authorization: 'GatewayToken x' }, status: 401 },
      {
        says: 'configData registers nobody: 404',
        path: 'fresh/configData',
        method: 'PUT',
        headers: { authorization: 'GatewayToken {gatewayToken}' },
        json: { data: { a: 'b' } },
        status: 404,
      },
      {
        says: 'a poll with the GatewayToken registers',
        path: 'fresh',
        headers: { authorization: 'GatewayToken {gatewayToken}' },
        status: 200,
        body: { config: SLEEP, _links: { configData: { href: '~/default/controller/v1/fresh/configData$' } } },
      },
      {
        says: 'and so does confirmationBase',
        path: 'fresher/confirmationBase',
        headers: { authorization: 'GatewayToken {gatewayToken}' },
        status: 200,
      },
      {
        says: 'it acts as any gateway',
        path: '{id}',
        headers: { authorization: 'GatewayToken {gatewayToken}' },
        status: 200,
      },
    ],
  },
  {
    name: 'certificates that a proxy has checked',
    steps: [
      certified('one of its authorities is known, in any case', '{id}', { 'x-authority': 'other; PRESS line ca' }, 200),
      certified('divided by commas', '{id}', { 'x-authority': 'press line ca,other' }, 200),
      certified('numbered from 0', '{id}', { 'x-authority-0': 'other', 'x-authority-1': 'Press Line CA' }, 200),
      certified('numbered from 1', '{id}', { 'x-authority-1': 'Press Line CA' }, 200),
      certified('up to the first gap', '{id}', { 'x-authority-0': 'other', 'x-authority-2': 'Press Line CA' }, 401),
      certified('no known authority', '{id}', { 'x-authority': 'other' }, 401),
      certified('no authority', '{id}', {}, 401),
      certified('of another gateway', '{id}x', { 'x-authority': 'Press Line CA' }, 401),
      {
        says: 'as older proxies say it',
        path: '{id}',
        headers: { authorization: null, 'x-ssl-client-cn': '{id}', 'x-ssl-issuer-hash-0': 'Press Line CA' },
        status: 200,
      },
      {
        says: 'where it does not count, the token does',
        path: '{id}',
        headers: { 'x-controller-id': 'another', 'x-authority': 'Press Line CA' },
        status: 200,
      },
      {
        says: 'it registers a gateway that nobody announced',
        path: 'certified',
        headers: { authorization: null, 'x-controller-id': 'certified', 'x-authority': 'Press Line CA' },
        status: 200,
      },
    ],
  },
  {
    name: 'behind a proxy',
    steps: [
      forwarded('links are as the gateway came in', { proto: 'https', host: 'node.example' }, 'https://node.example'),
      forwarded('by another port', { proto: 'https', host: 'node.example', port: '8443' }, 'https://node.example:8443'),
      forwarded('that the host names', { host: 'node.example:81', port: '8443' }, 'http://node.example:81'),
      forwarded('the usual port', { proto: 'https', host: 'node.example', port: '443' }, 'https://node.example'),
      forwarded('a port that is none', { host: 'node.example', port: 'x' }, 'http://node.example'),
      { operator: 'rollout' },
      {
        says: 'links to bytes too',
        path: '{id}/deploymentBase/{task}',
        headers: { 'x-forwarded-proto': 'https', 'x-forwarded-host': 'node.example' },
        status: 200,
        body: '~"https://node.example/DEFAULT/controller/v1/{id}/softwaremodules/{task}/artifacts/firmware.bin"',
      },
    ],
  },
  {
    name: 'attributes on demand',
    steps: [
      {
        says: 'they are told',
        path: '{id}/configData',
        method: 'PUT',
        headers: { expect: '100-continue' },
        json: { data: { a: '1' } },
        status: 200,
      },
      { says: 'and not asked for', path: '{id}', status: 200, body: { config: SLEEP } },
      { operator: 'refresh' },
      {
        says: 'until somebody wants to know: what the gateway had seen is not what there is any more',
        path: '{id}',
        headers: { 'if-none-match': '{etag}' },
        status: 200,
        body: { config: SLEEP, _links: { configData: { href: '{base}/configData' } } },
      },
      { says: 'told again', path: '{id}/configData', method: 'PUT', json: { data: { a: '2' } }, status: 200 },
      { says: 'the link has gone', path: '{id}', status: 200, body: { config: SLEEP } },
      { says: 'unchanged: 304', path: '{id}', headers: { 'if-none-match': '{etag}' }, status: 304, body: '' },
    ],
  },
  {
    name: 'links of the poll',
    steps: [
      {
        says: 'configData as long as it is asked for',
        path: '{id}/configData',
        method: 'PUT',
        json: { data: { a: '1' } },
        status: 200,
      },
      { says: 'no _links where there is no link', path: '{id}', status: 200, body: { config: SLEEP } },
      { operator: 'rollout' },
      {
        says: 'deploymentBase with c, an int32',
        path: '{id}',
        status: 200,
        body: {
          config: SLEEP,
          _links: { deploymentBase: { href: '~^{base}/deploymentBase/{task}\\?c=-?\\d{1,10}$' } },
        },
      },
      { says: 'an empty body', path: '{id}/deploymentBase/{task}', status: 200 },
      {
        says: 'the end counts once',
        path: '{id}/deploymentBase/{task}/feedback',
        method: 'POST',
        json: feedback('closed', 'success'),
        status: 200,
        body: '',
      },
      {
        says: 'installedBase after it, and attributes are asked for again',
        path: '{id}',
        status: 200,
        body: {
          config: SLEEP,
          _links: {
            installedBase: { href: '{base}/installedBase/{task}' },
            configData: { href: '{base}/configData' },
          },
        },
      },
    ],
  },
  {
    name: 'before a maintenance window',
    steps: [
      {
        operator: 'rollout',
        handling: { mode: 'forced', confirm: false, window: { ...windowAt(now, false), schedule: soon(now) } },
      },
      {
        says: 'the sleep is shortened, and never below 30 seconds',
        path: '{id}',
        status: 200,
        body: {
          config: { polling: { sleep: '~^00:0[0-2]:\\d\\d$' } },
          _links: { deploymentBase: { href: '~.+' }, configData: { href: '~.+' } },
        },
      },
    ],
  },
];

function certified(says: string, name: string, headers: Record<string, string>, status: number): Step {
  return { says, path: '{id}', headers: { authorization: null, 'x-controller-id': name, ...headers }, status };
}

function forwarded(says: string, by: { proto?: string; host: string; port?: string }, origin: string): Step {
  const headers = Object.fromEntries(Object.entries(by).map(([name, value]) => [`x-forwarded-${name}`, value]));
  const href = `${origin}/default/controller/v1/{id}/configData`;
  return { says, path: '{id}', headers, status: 200, body: { config: SLEEP, _links: { configData: { href } } } };
}

/** Five to six minutes on. */
function soon(at: number): string {
  const start = new Date(at + 6 * 60_000);
  return `${start.getUTCMinutes()} ${start.getUTCHours()} * * *`;
}
