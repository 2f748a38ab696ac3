/** What the agent makes of what its container can and cannot, and of what it says of applications. */
import assert from 'node:assert/strict';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { InstalledComponent } from '@leonore/protocol';
import { findMarked } from '../container/mod.ts';
import { agentOptions, applicationsOf, startAgent } from '../test-support/agents.ts';
import { startFakeServer } from '../test-support/fake-server.ts';
import { offerTask } from '../test-support/packages.ts';
import { temporaryFolder } from '../test-support/temporary-folder.ts';
import { until } from '../test-support/waiting.ts';

void test('an application that this gateway must or can not run is refused before anything is touched', async () => {
  await using work = await temporaryFolder();
  await using server = await startFakeServer();
  const root = join(work.path, 'gateway');
  await using _applications = applicationsOf(root);
  await using _agent = startAgent(agentOptions(server, root, { applicationUsers: 'strict' }));
  const control = { start: 'exec sleep 300', install: 'touch "$LEONORE_DATA_DIR/../installed"' };
  await offerTask(server, work.path, { id: 1, components: [{ name: 'sensor', run: { user: 'root' }, control }] });
  const report = await until('its end', () => server.closed('1'));
  assert.equal(report.status.execution, 'rejected');
  assert.match(report.status.details?.join('\n') ?? '', /sensor cannot run here: .*(root|users of their own)/);
  assert.deepEqual(await readdir(join(root, 'components')), []);
  assert.deepEqual(await readdir(join(root, 'data')).catch(() => []), []);
});

void test('how an application fares is in the profile: restarts, its last end, since when it runs', async () => {
  await using work = await temporaryFolder();
  await using server = await startFakeServer();
  const root = join(work.path, 'gateway');
  await using _applications = applicationsOf(root);
  await using _agent = startAgent(agentOptions(server, root));
  const start = 'test -e "$LEONORE_DATA_DIR/crash" || exec sleep 300; rm "$LEONORE_DATA_DIR/crash"; exit 6';
  const control = { start, health: 'touch "$LEONORE_DATA_DIR/asked"' };
  await offerTask(server, work.path, { id: 1, components: [{ name: 'sensor', control }] });
  const report = await until('installed', () => server.closed('1'));
  assert.equal(report.status.result.finished, 'success', report.status.details?.join('\n'));
  const told = (): InstalledComponent | undefined =>
    (server.profiles.at(-1)?.document['installed'] as InstalledComponent[] | undefined)?.find(
      ({ name }) => name === 'sensor',
    );
  await until('running', () => told()?.state === 'running');
  assert.equal(told()?.restarts, undefined);
  await writeFile(join(root, 'data/sensor/crash'), '');
  for (const { pid, group } of await findMarked(join(root, 'data/sensor')))
    if (pid === group) process.kill(pid, 'SIGTERM');
  await until('its second end is told', () => told()?.lastExit?.code === 6);
  await until('it runs again', () => told()?.state === 'running' && told()?.restarts === 2);
  const since = told()?.since ?? 0;
  assert.ok(since > 0 && since <= Date.now());
});
