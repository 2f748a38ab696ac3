/** How far gateways decide themselves: the flags of `leonore provision` that say it, and the words that tell it. */
import { type Handling, handlingSchema, LeonoreError } from '@leonore/protocol';
import type { Command } from 'commander';
import { formatTime, parseDuration } from '../output/quantities.ts';

export interface HandlingFlags {
  readonly mode?: string;
  readonly window?: string;
  readonly windowDuration?: string;
  readonly timezone?: string;
  readonly weight?: string;
  readonly confirm?: boolean;
}

const MODES = ['forced', 'soft', 'download-only'] as const;

export function addHandlingOptions(command: Command): Command {
  return command
    .option(
      '--mode <mode>',
      'forced (the default), soft: when it suits the gateway, time-forced:TIME: soft until then, download-only',
    )
    .option('--window <cron>', 'install only in this maintenance window: minute hour day month weekday, as "0 2 * * 6"')
    .option('--window-duration <duration>', 'with --window: how long it stays open, such as 2h')
    .option('--timezone <offset>', "with --window: how far its times are ahead of UTC, such as +01:00 (default: UTC's)")
    .option('--weight <n>', 'what waits for a gateway goes out heaviest first: 0 to 1000, as without it')
    .option('--confirm', 'ask each gateway for its agreement first (gateways of other makers)');
}

/** Undefined when no flag was given. @throws LeonoreError `cli.usage` */
export function handlingOf(flags: HandlingFlags): Handling | undefined {
  const { mode, window, windowDuration, timezone, weight, confirm } = flags;
  if (window === undefined && (windowDuration !== undefined || timezone !== undefined))
    throw new LeonoreError('cli.usage', '--window-duration and --timezone say more of a --window; name that too');
  if (window !== undefined && windowDuration === undefined)
    throw new LeonoreError('cli.usage', '--window needs --window-duration: how long it stays open, such as 2h');
  if (mode === undefined && window === undefined && weight === undefined && !confirm) return undefined;
  const parsed = handlingSchema.safeParse({
    ...(mode === undefined ? {} : parseMode(mode)),
    ...(window === undefined
      ? {}
      : {
          window: {
            schedule: window,
            durationSeconds: Math.round(parseDuration(windowDuration ?? '') / 1000),
            ...(timezone === undefined ? {} : { timezone }),
          },
        }),
    ...(weight === undefined ? {} : { weight: Number(weight) }),
    confirm: confirm === true,
  });
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new LeonoreError('cli.usage', `${issue?.path.join('.') || 'handling'}: ${issue?.message}`);
}

function parseMode(text: string): { mode: Handling['mode']; forcedAt?: number } {
  const known = MODES.find((mode) => mode === text);
  if (known) return { mode: known };
  const time = /^time-forced:(.+)$/.exec(text)?.[1];
  const forcedAt = time === undefined ? NaN : Date.parse(time);
  if (Number.isNaN(forcedAt))
    throw new LeonoreError(
      'cli.usage',
      `--mode "${text}" is none of ${MODES.join(', ')}, time-forced:TIME, such as time-forced:2026-12-24T02:00`,
    );
  return { mode: 'time-forced', forcedAt };
}

/** `soft, in the window "0 2 * * 6" for 120 min (+01:00), once confirmed`. */
export function describeHandling(handling: Handling | undefined): string {
  if (!handling) return 'forced';
  const { mode, forcedAt, window, weight, confirm } = handling;
  return [
    forcedAt === undefined ? mode : `soft until ${formatTime(forcedAt)}, then forced`,
    ...(window
      ? [`in the window "${window.schedule}" for ${Math.round(window.durationSeconds / 60)} min (${window.timezone})`]
      : []),
    ...(weight === undefined ? [] : [`weight ${weight}`]),
    ...(confirm ? ['once confirmed'] : []),
  ].join(', ');
}
