/**
 * A merge patch of a profile, which may say from which state of it it was made: then it counts for that state only. So a
 * server that was set back, or got a message late, never makes a profile of parts that do not belong together. Pure.
 */
import { type GatewayProfile, LeonoreError, mergePatch, PATCH_BASE_KEY } from '@leonore/protocol';

export type Patched =
  | { readonly outcome: 'merged'; readonly profile: unknown }
  /** It was applied before. */
  | { readonly outcome: 'known' }
  /** It was made from another state; the profile is to be had whole. */
  | { readonly outcome: 'refused' };

/** @throws request.invalid */
export function patchProfile(profile: GatewayProfile, patch: unknown): Patched {
  const { [PATCH_BASE_KEY]: base, revision } = (patch ?? {}) as Record<string, unknown>;
  if (base !== undefined) {
    if (profile.revision === undefined) return { outcome: 'refused' };
    if (profile.revision === revision) return { outcome: 'known' };
    if (profile.revision !== base) return { outcome: 'refused' };
  }
  try {
    return { outcome: 'merged', profile: mergePatch(profile, patch) };
  } catch (error) {
    // The stack ended before the patch did.
    if (error instanceof RangeError)
      throw new LeonoreError('request.invalid', 'the profile is nested too deeply to be one');
    throw error;
  }
}
