/** Section 8: confirmation. */
import { CHUNKS } from './deployment.ts';
import { feedback, type Scenario, type Step } from './scenario.ts';

const asks: Step = { operator: 'rollout', handling: { mode: 'forced', confirm: true } };
const call = (says: string, path: string, status: number, body?: unknown): Step => ({
  says,
  path: `{id}/${path}`,
  status,
  ...(body === undefined ? {} : { body }),
});
const post = (says: string, path: string, json: unknown, status: number): Step => ({
  says,
  path: `{id}/${path}`,
  method: 'POST',
  json,
  status,
  ...(status === 200 ? { body: '' } : {}),
});
const answer = (says: string, confirmation: string, status: number, more: object = {}): Step =>
  post(says, 'confirmationBase/{task}/feedback', { confirmation, ...more }, status);
const OFF = { active: false };
const activate = { activateAutoConfirm: { href: '{base}/confirmationBase/activateAutoConfirm' } };
const deactivate = { deactivateAutoConfirm: { href: '{base}/confirmationBase/deactivateAutoConfirm' } };
const waits = { confirmationBase: { href: '~^{base}/confirmationBase/{task}\\?c=-?\\d+$' } };

export const CONFIRMATION: readonly Scenario[] = [
  {
    name: 'confirmation',
    steps: [
      call('nothing waits', 'confirmationBase', 200, { autoConfirm: OFF, _links: activate }),
      asks,
      call('the poll asks', '', 200, { config: '~.', _links: { ...waits, configData: '~.' } }),
      call('something waits', 'confirmationBase', 200, { autoConfirm: OFF, _links: { ...activate, ...waits } }),
      call('the deployment is hidden', 'deploymentBase/{task}', 404),
      post('and takes no feedback', 'deploymentBase/{task}/feedback', feedback('closed', 'success'), 404),
      call('what waits', 'confirmationBase/{task}?c=1', 200, {
        id: '{task}',
        confirmation: { download: 'forced', update: 'forced', chunks: CHUNKS },
      }),
      call('its bytes', 'softwaremodules/{task}/artifacts/firmware.bin', 200),
      answer('denied, it goes on waiting', 'denied', 200, { code: 10, details: ['not today'] }),
      call('with what was said', 'confirmationBase/{task}?actionHistory=1', 200, {
        id: '{task}',
        confirmation: '~.',
        actionHistory: { status: 'PENDING', messages: ['~denied'] },
      }),
      answer('another word', 'perhaps', 400),
      answer('confirmed', 'confirmed', 200),
      answer('it waits no more', 'confirmed', 404),
      call('nor is it told', 'confirmationBase/{task}', 404),
      call('the deployment is there', 'deploymentBase/{task}', 200),
      { task: 'offered' },
      answer('denied after all: it waits again', 'denied', 200),
      call('the deployment is hidden again', 'deploymentBase/{task}', 404),
      call('the poll asks again', '', 200, { config: '~.', _links: { ...waits, configData: '~.' } }),
      answer('confirmed again', 'confirmed', 200),
      post('it is closed', 'deploymentBase/{task}/feedback', feedback('closed', 'success'), 200),
      answer('closed: 410', 'confirmed', 410),
      answer('closed: 410 for denial too', 'denied', 410),
    ],
  },
  {
    name: 'confirmation where none is asked for',
    steps: [
      { operator: 'rollout' },
      call('nothing waits', 'confirmationBase/{task}', 404),
      answer('nothing to confirm', 'confirmed', 404),
      answer('nothing to deny', 'denied', 404),
      call('an unknown action', 'confirmationBase/999999', 404),
    ],
  },
  {
    name: 'auto-confirm',
    steps: [
      asks,
      call('it waits', 'deploymentBase/{task}', 404),
      post('for all', 'confirmationBase/activateAutoConfirm', { initiator: 'the mill', remark: 'by night' }, 200),
      call('what waited is confirmed', 'deploymentBase/{task}', 200),
      post('twice is 409', 'confirmationBase/activateAutoConfirm', {}, 409),
      call('who did it, and when', 'confirmationBase', 200, {
        autoConfirm: { active: true, initiator: 'the mill', remark: 'by night', activatedAt: '~^\\d{13}$' },
        _links: deactivate,
      }),
      { says: 'off', path: '{id}/confirmationBase/deactivateAutoConfirm', method: 'POST', status: 200, body: '' },
      call('it is off', 'confirmationBase', 200, { autoConfirm: OFF, _links: activate }),
      {
        says: 'a body is not needed, though its type may be named',
        path: '{id}/confirmationBase/activateAutoConfirm',
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        text: '',
        status: 200,
      },
    ],
  },
];
