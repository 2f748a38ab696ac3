/** `leonore demo`: a whole small LEONORE on this machine, one rollout by pull and one by push before one's eyes. */
import type { Command } from 'commander';
import type { App } from '../app.ts';

export function registerDemo(parent: Command, app: App): void {
  parent
    .command('demo')
    .description(
      'See it all at work on this machine: a node, the examples, three real agents and twenty simulated gateways; one\n' +
        'rollout by pull and one by push. Stays up afterwards to be played with. Everything is kept in a temporary folder.',
    )
    .option('--exit', 'end afterwards, with 0 only if every task succeeded')
    .action((flags: { exit?: boolean }) => import('../demo/play.ts').then(({ playDemo }) => playDemo(flags, app)));
}
