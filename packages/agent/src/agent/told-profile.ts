/**
 * What the server was last told of this gateway, kept over restarts, so that a start costs a message only where something
 * has changed. It need not be right: a change is sent with the revision that it was made from, and a server that has
 * another refuses it, upon which the profile is sent whole.
 */
import { randomBytes } from 'node:crypto';
import { type GatewayProfile, gatewayProfileSchema } from '@leonore/protocol';
import { z } from 'zod';
import { errorText, type Logger } from '../connectivity/mod.ts';
import { readDurable, writeDurable } from './durable-file.ts';

export interface ToldProfile {
  /** Undefined: nothing that counts. */
  readonly profile: GatewayProfile | undefined;
  /** Never rejects: what cannot be kept is told again after the next start. */
  keep(profile: GatewayProfile): Promise<void>;
  forget(): void;
  /** Before a report says what is installed: whatever was told of it counts no more, also after a kill. Never rejects. */
  forgetInstalled(): Promise<void>;
  /** How often that was. */
  readonly reports: number;
}

const fileSchema = z.object({ server: z.string(), profile: gatewayProfileSchema });

/** `server`: what another was told does not count. */
export async function openToldProfile(options: { file: string; server: string; logger: Logger }): Promise<ToldProfile> {
  const { file, server, logger } = options;
  const found = await readDurable(file, fileSchema);
  let profile = found?.value.server === server ? found.value.profile : undefined;

  let reports = 0;

  let writing = Promise.resolve();

  /** One write after the other: what was kept last is what the file says. */
  function keep(next: GatewayProfile): Promise<void> {
    profile = next;
    writing = writing
      .then(() => writeDurable(file, { server, profile: next }))
      .catch((error: unknown) => logger.warn('what the server was told cannot be kept', { error: errorText(error) }));
    return writing;
  }

  return {
    get profile() {
      return profile;
    },
    keep,
    get reports() {
      return reports;
    },
    async forgetInstalled() {
      reports++;
      if (profile?.installed === undefined) return;
      const { installed: _, ...rest } = profile;
      await keep(rest);
    },
    forget() {
      profile = undefined;
    },
  };
}

/** The profile as a state of its own: nobody else has this revision. */
export function stamped(profile: GatewayProfile): GatewayProfile {
  const { reportedAt: _, ...rest } = profile;
  return { ...rest, revision: randomBytes(6).toString('base64url') };
}
