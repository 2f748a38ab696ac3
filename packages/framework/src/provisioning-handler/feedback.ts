/** What a feedback means for its task: DDI's table of execution x finished, mapped to the task's states. Pure. */
import {
  type DdiFeedback,
  type InstalledComponent,
  isTerminal,
  LeonoreError,
  type PackageContents,
  type TaskState,
  taskProgressSchema,
} from '@leonore/protocol';
import type { TaskFacts } from '../repositories/mod.ts';

/** The state it leads to; undefined when it only adds messages. */
export function stateOf({ execution, result }: DdiFeedback['status']): TaskState | undefined {
  switch (execution) {
    case 'closed':
      return result.finished === 'failure' ? 'failed' : 'succeeded';
    case 'rejected':
      // hawkBit only notes it. With `failure` it is LEONORE's own: the gateway refused before it touched anything.
      return result.finished === 'failure' ? 'rejected' : undefined;
    case 'download':
      return 'downloading';
    case 'downloaded':
    case 'proceeding':
    case 'resumed':
      return 'installing';
    case 'canceled':
    case 'scheduled':
      return undefined;
    default:
      return execution satisfies never;
  }
}

const MAX_MESSAGES = 50;
const MAX_MESSAGE_LENGTH = 4000;

/** Only what ends a task may say more, of which the rest is left out. @throws quota.exceeded */
export function checkMessageCount(details: readonly string[] | undefined): void {
  if (details && details.length > MAX_MESSAGES)
    throw new LeonoreError('quota.exceeded', `a report has at most ${MAX_MESSAGES} messages, not ${details.length}`);
}

/** Its words, bounded in number and length; oldest first. */
export function messagesOf({ code, details }: Pick<DdiFeedback['status'], 'code' | 'details'>): string[] {
  const said = (details ?? []).slice(0, MAX_MESSAGES).map((text) => text.slice(0, MAX_MESSAGE_LENGTH));
  if (code !== undefined) said.push(`Device reported status code: ${code}`);
  return said;
}

/** What it says beside its words; undefined when nothing. The outcome counts with an end only. */
export function factsOf({ status, outcome }: DdiFeedback, to: TaskState): TaskFacts | undefined {
  const { cnt: count, of } = status.result.progress ?? {};
  const progress = taskProgressSchema.safeParse({ count, of }).data;
  const kept = isTerminal(to) ? outcome : undefined;
  if (!progress && !kept) return undefined;
  return { ...(progress ? { progress } : {}), ...(kept ? { outcome: kept } : {}) };
}

/** What the package promised and the gateway, by its own report, does not have: then its success is none. */
export function missingAfter(manifest: PackageContents, installed: readonly InstalledComponent[]): readonly string[] {
  const there = new Map(installed.map(({ name, version }) => [name as string, version]));
  const missing = manifest.components
    .filter(({ name, version }) => there.get(name) !== version)
    .map(({ name, version }) => `${name} ${version}`);
  const left = manifest.remove.filter(({ name }) => there.has(name)).map(({ name }) => `the removal of ${name}`);
  return [...missing, ...left];
}

/** What is on a gateway after it took the package, where it does not say so itself. */
export function installedAfter(before: readonly InstalledComponent[], manifest: PackageContents): InstalledComponent[] {
  const after = new Map(before.map((component) => [component.name as string, component]));
  for (const { name } of manifest.remove) after.delete(name);
  for (const { name, version, requested } of manifest.components)
    after.set(name, { name, version, requested, state: 'installed' });
  for (const { name, requested } of manifest.keep) {
    const kept = after.get(name);
    if (kept) after.set(name, { ...kept, requested });
  }
  return [...after.values()];
}
