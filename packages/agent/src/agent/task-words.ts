/** What the agent says of the end of a task: which versions came and went, what was saved, what it is back at. Pure. */
import type { DdiFeedback, InstalledComponent, TaskOutcome } from '@leonore/protocol';
import { feedback } from '../connectivity/mod.ts';
import { airText } from './air-text.ts';
import type { FetchedPackage } from './fetch-package.ts';
import type { InstalledEntry } from './installed.ts';
import type { Plan } from './plan.ts';

export function successReport(
  plan: Plan,
  running: readonly InstalledComponent[],
  timestamp: number,
  outcome: TaskOutcome | undefined,
  fetched: FetchedPackage | undefined,
): DdiFeedback {
  const came = Object.values(plan.after).filter((entry) => plan.before[entry.name]?.folder !== entry.folder);
  const went = Object.values(plan.before).filter((entry) => !plan.after[entry.name]);
  const details = [
    ...came.map((entry) =>
      [
        entry.previousVersion === undefined
          ? `${label(entry)} installed`
          : `${entry.name} updated from ${entry.previousVersion} to ${entry.version}`,
        ...savingText(entry.name, fetched),
      ].join('; '),
    ),
    ...went.map((entry) => `${label(entry)} removed`),
  ];
  return feedback('closed', 'success', {
    details: details.length > 0 ? details : ['everything was there already'],
    installed: running,
    outcome,
    timestamp,
  });
}

/** Only where less came than the component's segment has. */
function savingText(name: string, fetched: FetchedPackage | undefined): string[] {
  const bytes = fetched?.bytesOf.get(name);
  const full = fetched?.manifest.components.find((component) => component.name === name)?.segment.length;
  return bytes === undefined || full === undefined || bytes >= full ? [] : [airText(bytes, full)];
}

export function backText(plan: Plan): string {
  const back = plan.steps.flatMap((step) => (step.do === 'place' ? (plan.before[step.entry.name] ?? []) : []));
  return back.length > 0 ? `rolled back to ${back.map(label).join(', ')}` : 'rolled back: nothing of it is left';
}

function label(entry: InstalledEntry): string {
  return `${entry.name} ${entry.version}`;
}
