/** How much a gateway may say of itself: its profile is read with every poll and its words can be selected by. */
import { LeonoreError, type GatewayProfile, type Labels } from '@leonore/protocol';

const MAX_PROFILE_CHARACTERS = 256 * 1024;
const MAX_ENTRIES = 100;
const MAX_CAPABILITIES = 500;

/** @throws quota.exceeded */
export function checkProfile(profile: GatewayProfile): GatewayProfile {
  checkCount('labels', profile.labels, MAX_ENTRIES);
  checkCount('attributes', profile.attributes, MAX_ENTRIES);
  checkCount('capabilities', profile.capabilities, MAX_CAPABILITIES);
  const size = JSON.stringify(profile).length;
  if (size > MAX_PROFILE_CHARACTERS)
    throw new LeonoreError('quota.exceeded', `a profile has at most ${MAX_PROFILE_CHARACTERS} characters, not ${size}`);
  return profile;
}

/** @throws quota.exceeded */
export function checkLabels(labels: Labels): Labels {
  checkCount('labels', labels, MAX_ENTRIES);
  return labels;
}

function checkCount(what: string, entries: Readonly<Record<string, string>>, max: number): void {
  const count = Object.keys(entries).length;
  if (count > max)
    throw new LeonoreError('quota.exceeded', `a gateway has at most ${max} ${what}, this would make ${count}`);
}
