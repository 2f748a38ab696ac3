/** Desired state: what a gateway shall have once a rollout has reached it. Pure. */
import type { ApplicationRequest } from '@leonore/protocol';
import type { GatewayRecord, RolloutRecord } from '../repositories/mod.ts';

export type RolloutChange = Pick<RolloutRecord, 'applications' | 'remove' | 'upgrade'>;

export const NO_CHANGE: RolloutChange = { applications: [], remove: [], upgrade: false };

/**
 * Desired applications, changed by the rollout, and those that the gateway reports as requested though LEONORE does not
 * know of it: a database restored from a backup must not take applications away that nobody asked to remove.
 */
export function wantedApplications(
  gateway: Pick<GatewayRecord, 'desired' | 'profile'>,
  change: RolloutChange,
): readonly ApplicationRequest[] {
  const wanted = new Map<string, ApplicationRequest>();
  for (const { name, range } of gateway.desired) wanted.set(name, { name, range });
  for (const { name, requested } of gateway.profile.installed ?? []) {
    if (requested && !wanted.has(name)) wanted.set(name, { name, range: '*' });
  }
  for (const name of change.remove) wanted.delete(name);
  for (const application of change.applications) wanted.set(application.name, application);
  return [...wanted.values()];
}

/** True when everything that `older` changes is changed by `newer` too: then the older task has no point any more. */
export function supersedes(newer: RolloutChange, older: RolloutChange): boolean {
  const names = new Set([...newer.applications.map(({ name }) => name as string), ...newer.remove]);
  return [...older.applications.map(({ name }) => name as string), ...older.remove].every((name) => names.has(name));
}
