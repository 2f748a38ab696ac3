/**
 * The planner: from what is installed and a package's manifest to the steps of one transaction, and from a broken
 * transaction to the steps back. Pure; the executor does what is written here, in this order, and nothing else.
 *
 *   forward    place* stop* install* activate* (start check)* [install] [hand-over activate] | commit | uninstall* discard*
 *   backward   stop* activate* discard* start*
 *
 * place      the unpacked version moves from staging to its own folder; nothing runs from there yet
 * stop       everything that changes or needs something that changes, those that need others first
 * install    control/install of each new version, once
 * activate   `current` and the install path lead to the version (or, without one, away)
 * start      in the order of need; check: healthy, before the next starts
 * hand-over  of the agent itself, last of all: this process ends, and the other agent goes on with the plan behind it once the
 *            server has heard it; `current` leads to it only then. Nothing is stopped for it
 * commit     between the two halves, no step of its own: the journal says so from now on, and what follows only cleans up
 * uninstall  control/uninstall of what is removed: after the commit, since it cannot be taken back
 * discard    the folders that nothing leads to any more
 *
 * Every step but install and uninstall can be done twice, or when already done, without harm. So the way back needs not
 * know how far the way forward came: it brings everything to where `before` has it. Only when nothing but `place` was begun
 * what runs is left in peace.
 */
import { isOlderVersion, type PackageManifest } from '@leonore/protocol';
import { type InstalledEntry, type InstalledSet, inStartOrder, withDependents } from './installed.ts';
import { AGENT_COMPONENT } from './launcher.ts';

export type Step =
  | { readonly do: 'place'; readonly entry: InstalledEntry }
  | { readonly do: 'stop'; readonly name: string }
  | { readonly do: 'install'; readonly entry: InstalledEntry }
  | {
      readonly do: 'activate';
      readonly name: string;
      readonly entry: InstalledEntry | null;
      readonly installPaths: readonly string[];
    }
  /** `among`: beside which versions of what it needs. */
  | { readonly do: 'start'; readonly entry: InstalledEntry; readonly among: 'before' | 'after' }
  | { readonly do: 'check'; readonly entry: InstalledEntry }
  /** `entry`: null for the agent that came with the gateway. */
  | { readonly do: 'hand-over'; readonly name: string; readonly entry: InstalledEntry | null }
  | { readonly do: 'uninstall'; readonly entry: InstalledEntry }
  /** `data`: with what it has stored and logged, too. */
  | { readonly do: 'discard'; readonly name: string; readonly folder: string; readonly data: boolean };

export interface Plan {
  /** Up to the commit point. */
  readonly steps: readonly Step[];
  /** After it: they may fail without taking the change back. */
  readonly cleanUp: readonly Step[];
  readonly before: InstalledSet;
  readonly after: InstalledSet;
}

export type Planned =
  | { readonly outcome: 'plan'; readonly plan: Plan }
  /** Made for a gateway that has other things installed; `why` says which. */
  | { readonly outcome: 'refused'; readonly why: string };

export interface DowngradeGuard {
  /** By name: what was committed last, on purpose, whether or not it is still there. */
  readonly floors: Readonly<Record<string, string>>;
  /** Names of components that the task means to bring to an older version. */
  readonly meant: readonly string[];
}

export function planChange(
  before: InstalledSet,
  manifest: PackageManifest,
  sequence: number,
  guard: DowngradeGuard = { floors: {}, meant: [] },
): Planned {
  const why = unfit(before, manifest) ?? tooOld(before, manifest, guard);
  if (why !== undefined) return { outcome: 'refused', why };

  const fresh = manifest.components.flatMap((component): InstalledEntry[] => {
    const old = before[component.name];
    if (old?.version === component.version && old.contentSha256 === component.contentSha256) return [];
    const taken = old?.folder === component.version;
    return [
      {
        name: component.name,
        version: component.version,
        folder: taken ? `${component.version}~${component.contentSha256.slice(0, 8)}` : component.version,
        contentSha256: component.contentSha256,
        requested: component.requested,
        after: component.after,
        ...(component.run ? { run: component.run } : {}),
        ...(component.installPath === undefined ? {} : { installPath: component.installPath }),
        ...(old ? { previousVersion: old.version } : {}),
        sequence,
      },
    ];
  });
  const removed = manifest.remove.flatMap(({ name }) => before[name] ?? []);
  const after = nextInstalled(before, manifest, fresh);

  const freshHosted = fresh.filter(isHosted);
  const removedHosted = removed.filter(isHosted);
  const changed = [...freshHosted, ...removedHosted].map((entry) => entry.name);
  const stopping = inStartOrder([...withDependents(changed, before)], before).filter((name) => before[name]?.run);
  const toStart = withDependents(
    freshHosted.map((entry) => entry.name),
    after,
  );
  for (const name of stopping) if (after[name]) toStart.add(name);
  const starting = inStartOrder(
    [...manifest.components.map(({ name }) => name as string), ...Object.keys(after)].filter((name) =>
      toStart.has(name),
    ),
    after,
  );

  const steps: Step[] = [
    ...fresh.map((entry): Step => ({ do: 'place', entry })),
    ...stopping.toReversed().map((name): Step => ({ do: 'stop', name })),
    ...freshHosted.map((entry): Step => ({ do: 'install', entry })),
    ...removedHosted.map((entry) => activation(entry.name, before, after)),
    ...freshHosted.map((entry) => activation(entry.name, before, after)),
    ...starting.flatMap((name): Step[] => {
      const entry = after[name];
      return entry
        ? [
            { do: 'start', entry, among: 'after' },
            { do: 'check', entry },
          ]
        : [];
    }),
    ...[...fresh, ...removed].filter((entry) => !isHosted(entry)).flatMap(({ name }) => handOver(name, before, after)),
  ];
  const cleanUp: Step[] = [
    ...removed.map((entry): Step => ({ do: 'uninstall', entry })),
    ...removed.map((entry): Step => ({ do: 'discard', name: entry.name, folder: entry.folder, data: true })),
    ...fresh.flatMap((entry): Step[] => {
      const old = before[entry.name];
      return old ? [{ do: 'discard', name: old.name, folder: old.folder, data: false }] : [];
    }),
  ];
  return { outcome: 'plan', plan: { steps, cleanUp, before, after } };
}

/** The agent itself is no application. */
function isHosted({ name }: InstalledEntry): boolean {
  return name !== AGENT_COMPONENT;
}

function activation(name: string, before: InstalledSet, after: InstalledSet): Step {
  return { do: 'activate', name, entry: after[name] ?? null, installPaths: paths(before[name], after[name]) };
}

function handOver(name: string, before: InstalledSet, after: InstalledSet): Step[] {
  const entry = after[name] ?? null;
  return [
    ...(entry ? [{ do: 'install' as const, entry }] : []),
    { do: 'hand-over', name, entry },
    activation(name, before, after),
  ];
}

/** The way back to `before`, from wherever the plan came to a halt. `reached`: the number of the last step that was begun. */
export function planRollback(plan: Plan, reached = plan.steps.length): Step[] {
  const { before, after } = plan;
  if (plan.steps.slice(0, reached + 1).every((step) => step.do === 'place')) return discardPlaced(plan);
  const touched = new Set(plan.steps.map((step) => ('entry' in step && step.entry ? step.entry.name : nameOf(step))));
  const running = inStartOrder([...touched], { ...before, ...after });
  const switched = plan.steps.flatMap((step) => (step.do === 'activate' ? [step] : []));
  return [
    ...running.toReversed().map((name): Step => ({ do: 'stop', name })),
    ...switched.map(
      ({ name, installPaths }): Step => ({ do: 'activate', name, entry: before[name] ?? null, installPaths }),
    ),
    ...discardPlaced(plan),
    ...inStartOrder(running, before).flatMap((name): Step[] => {
      const entry = before[name];
      return entry?.run ? [{ do: 'start', entry, among: 'before' }] : [];
    }),
  ];
}

function discardPlaced({ steps, before }: Plan): Step[] {
  return steps.flatMap((step): Step[] => {
    if (step.do !== 'place') return [];
    const { name, folder } = step.entry;
    return [{ do: 'discard', name, folder, data: before[name] === undefined }];
  });
}

/** What needs nothing but files: neither scripts nor processes have a hand in it. */
export function withoutPrograms(steps: readonly Step[]): Step[] {
  return steps.filter((step) => step.do === 'activate' || step.do === 'discard');
}

/** Where the agent hands over to another; -1 when it does not. */
export function handOverAt(plan: Plan): number {
  return plan.steps.findIndex((step) => step.do === 'hand-over');
}

function nameOf(step: Step): string {
  return 'name' in step ? step.name : step.entry.name;
}

function paths(...entries: readonly (InstalledEntry | undefined)[]): string[] {
  return [...new Set(entries.flatMap((entry) => entry?.installPath ?? []))];
}

/** Why the package does not fit what is here; undefined when it does. */
function unfit(before: InstalledSet, manifest: PackageManifest): string | undefined {
  for (const { name, version } of manifest.keep) {
    const here = before[name];
    if (here?.version !== version) {
      return `it expects ${name} ${version} to be there already, but ${here ? `${here.version} is` : 'it is not'}`;
    }
  }
  const going = new Set<string>(manifest.remove.map(({ name }) => name));
  const coming = new Set<string>(manifest.components.map(({ name }) => name));
  for (const component of manifest.components) {
    if (going.has(component.name)) return `it both installs and removes ${component.name}`;
    for (const need of component.after) {
      if (!coming.has(need) && (!before[need] || going.has(need))) {
        return `${component.name} ${component.version} needs ${need}, which would not be there`;
      }
    }
  }
  return undefined;
}

/** The sequence keeps old tasks away; this keeps old versions out of new ones, such as a server set back would make. */
function tooOld(
  before: InstalledSet,
  manifest: PackageManifest,
  { floors, meant }: DowngradeGuard,
): string | undefined {
  for (const { name, version } of manifest.components) {
    const floor = before[name]?.version ?? floors[name];
    if (floor === undefined || !isOlderVersion(version, floor) || meant.includes(name)) continue;
    return `it brings ${name} ${version}, which is older than the ${floor} that was installed here, and does not say that this is meant`;
  }
  return undefined;
}

function nextInstalled(
  before: InstalledSet,
  manifest: PackageManifest,
  fresh: readonly InstalledEntry[],
): InstalledSet {
  const after: Record<string, InstalledEntry> = { ...before };
  for (const { name } of manifest.remove) delete after[name];
  for (const { name, requested, after: needs } of [...manifest.keep, ...manifest.components]) {
    const here = after[name];
    if (here) after[name] = { ...here, requested, after: needs };
  }
  for (const entry of fresh) after[entry.name] = entry;
  return after;
}

/** What a step is called in reports and errors. */
export function stepLabel(step: Step): string {
  switch (step.do) {
    case 'place':
      return `put ${step.entry.name} ${step.entry.version} in place`;
    case 'stop':
      return `stop ${step.name}`;
    case 'install':
      return `run control/install of ${step.entry.name} ${step.entry.version}`;
    case 'activate':
      return step.entry ? `activate ${step.name} ${step.entry.version}` : `deactivate ${step.name}`;
    case 'start':
      return `start ${step.entry.name} ${step.entry.version}`;
    case 'check':
      return `check the health of ${step.entry.name} ${step.entry.version}`;
    case 'hand-over':
      return `hand over to ${step.entry ? `${step.name} ${step.entry.version}` : 'the agent that the gateway came with'}`;
    case 'uninstall':
      return `run control/uninstall of ${step.entry.name} ${step.entry.version}`;
    case 'discard':
      return `delete ${step.name} ${step.folder}`;
    default:
      return step satisfies never;
  }
}
