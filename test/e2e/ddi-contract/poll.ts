/** Sections 1 to 3: the base, credentials, the poll. */
import { feedback, type Scenario, windowAt } from './scenario.ts';

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

/** Five to six minutes on. */
function soon(at: number): string {
  const start = new Date(at + 6 * 60_000);
  return `${start.getUTCMinutes()} ${start.getUTCHours()} * * *`;
}
