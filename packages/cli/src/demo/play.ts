/** The demo's play: the stage set up, each rollout shown live, the final table, and what to try afterwards. */
import type { Rollout, RolloutStrategy } from '@leonore/protocol';
import type { App } from '../app.ts';
import { untilAborted } from '../commands/node.ts';
import { EXIT } from '../exit-codes.ts';
import { createPaint } from '../output/paint.ts';
import { formatDuration } from '../output/quantities.ts';
import { reportRollout, watchRollout } from '../progress/watch-rollout.ts';
import { allSucceeded, readOutcomes, renderOutcomes } from './final-table.ts';
import { type Stage, setUpStage } from './stage.ts';

const ROLLOUT_TIMEOUT_MS = 120_000;

interface Act {
  readonly title: string;
  readonly application: string;
  readonly selector: string;
  readonly strategy: RolloutStrategy;
}

const ACTS: readonly Act[] = [
  {
    title: 'building-monitor to every gateway by pull, with the svm that it needs',
    application: 'building-monitor',
    selector: '*',
    strategy: 'pull',
  },
  {
    title: 'hello-sensor to every gateway by push; who only pulls gets it at its next poll',
    application: 'hello-sensor',
    selector: '*',
    strategy: 'push',
  },
  {
    title: 'java-meter to the real agents; those without Java get a runtime along with it',
    application: 'java-meter',
    selector: 'kind=agent',
    strategy: 'auto',
  },
];

export async function playDemo(flags: { exit?: boolean }, app: App): Promise<void> {
  const { terminal } = app;
  const paint = createPaint(terminal.errColour);
  const startedAt = terminal.now();
  const say = (line: string) => terminal.err(`  ${line}`);
  terminal.err(paint.strong('LEONORE demo'));
  await using stage = await setUpStage(terminal, say);

  const rollouts: Rollout[] = [];
  for (const act of ACTS.filter(({ application }) => stage.published.includes(application))) {
    terminal.err('');
    terminal.err(paint.strong(act.title));
    rollouts.push(await Promise.race([stage.broken, play(act, stage, app)]));
  }

  const outcomes = await readOutcomes(stage.client, rollouts, terminal.signal);
  const succeeded = allSucceeded(outcomes) && rollouts.every(({ state }) => state === 'succeeded');
  terminal.err('');
  const width = terminal.outIsTerminal ? terminal.columns() : undefined;
  for (const line of renderOutcomes(outcomes, rollouts, createPaint(terminal.outColour), width)) terminal.out(line);
  terminal.err('');
  terminal.err(
    `${succeeded ? paint.good('every task succeeded') : paint.bad('not every task succeeded')}, ${formatDuration(terminal.now() - startedAt)} in all`,
  );
  if (!succeeded) app.exitCode = EXIT.failed;
  if (flags.exit) return;
  invite(stage, app);
  await Promise.race([stage.broken, untilAborted(terminal.signal)]);
  app.exitCode = succeeded ? EXIT.done : EXIT.failed;
  terminal.err('');
  terminal.err('ending everything and taking the folder away');
}

async function play(act: Act, { client }: Stage, { terminal }: App): Promise<Rollout> {
  const created = await client.rollouts.create(
    { applications: [{ name: act.application }], selector: act.selector, strategy: act.strategy },
    { signal: terminal.signal },
  );
  const ended = await watchRollout(client, created.id, terminal, { timeoutMs: ROLLOUT_TIMEOUT_MS });
  await reportRollout(client, ended, terminal);
  return ended;
}

/** Where to look and what to try, ready to be copied. */
function invite({ node, folder }: Stage, { terminal }: App): void {
  const paint = createPaint(terminal.errColour);
  const lines = [
    '',
    `It stays up until Ctrl-C. Look at the API reference: ${paint.address(`${node.httpUrl}/api/docs`)}`,
    '',
    'Or in another terminal:',
    `  export LEONORE_URL=${node.httpUrl} LEONORE_TOKEN=$(cat ${node.adminTokenFile})`,
    '  npx leonore gateway list',
    '  npx leonore gateway logs boiler-room',
    '  npx leonore explain java-meter --gateway roof',
    "  npx leonore provision --remove hello-sensor --select 'site=vienna' --wait",
    '  npx leonore rollout list',
    '',
    `Logs and files of its parts: ${folder}`,
  ];
  for (const line of lines) terminal.err(line);
}
