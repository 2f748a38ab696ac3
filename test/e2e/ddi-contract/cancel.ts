/** Section 6: cancelation. */
import { feedback, type Scenario, type Step } from './scenario.ts';

const get = (says: string, status: number, body?: unknown): Step => ({
  says,
  path: '{id}/cancelAction/{task}',
  status,
  ...(body === undefined ? {} : { body }),
});
const post = (says: string, json: unknown, status: number): Step => ({
  says,
  path: '{id}/cancelAction/{task}/feedback',
  method: 'POST',
  json,
  status,
});
const deployment = (status: number): Step => ({
  says: `the deployment is ${status === 200 ? 'there' : 'hidden'}`,
  path: '{id}/deploymentBase/{task}',
  status,
});
const close = (status: number): Step => ({
  says: 'the deployment may still be closed',
  path: '{id}/deploymentBase/{task}/feedback',
  method: 'POST',
  json: feedback('closed', 'success'),
  status,
});
const link = (name: string): Step => ({
  says: `the poll has ${name}`,
  path: '{id}',
  status: 200,
  body: {
    config: '~.',
    _links: { [name]: { href: `~^{base}/${name}/{task}(\\?c=-?\\d+)?$` }, configData: '~.' },
  },
});

const begun: readonly Step[] = [{ operator: 'rollout' }, deployment(200)];
const DOCUMENT = { id: '{task}', cancelAction: { stopId: '{task}' } };

export const CANCEL: readonly Scenario[] = [
  {
    name: 'cancel, not asked for',
    steps: [
      ...begun,
      get('404 unless it is canceling', 404),
      post('405 unless it is canceling', feedback('closed', 'success'), 405),
      link('deploymentBase'),
      close(200),
      post('405 once it has ended otherwise', feedback('closed', 'success'), 405),
    ],
  },
  {
    name: 'cancel, confirmed',
    steps: [
      ...begun,
      { operator: 'abort' },
      link('cancelAction'),
      deployment(404),
      get('the document names the action twice, as text', 200, DOCUMENT),
      post('others leave it canceling', feedback('proceeding', 'none'), 200),
      post('canceled is no answer', feedback('canceled', 'none'), 200),
      link('cancelAction'),
      post('closed ends it', feedback('closed', 'none'), 200),
      { task: 'canceled' },
      get('it is still told that it was canceled', 200, DOCUMENT),
      post('the same again is fine', feedback('closed', 'none'), 200),
      deployment(404),
      close(410),
      { says: 'nor is it installed', path: '{id}/installedBase/{task}', status: 404 },
    ],
  },
  ...(['closed', 'rejected'] as const).map(
    (execution): Scenario => ({
      name: `cancel, refused with ${execution}`,
      steps: [
        ...begun,
        { operator: 'abort' },
        post('back to running', feedback(execution, 'failure', { details: ['too late'] }), 200),
        link('deploymentBase'),
        close(200),
        { task: 'succeeded' },
      ],
    }),
  ),
  {
    name: 'cancel, ignored',
    steps: [...begun, { operator: 'abort' }, close(200), { task: 'succeeded' }, get('it is over', 404)],
  },
];
