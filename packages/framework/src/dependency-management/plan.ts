/** The chosen versions as an install plan: who provides what to whom, order, what changes on the gateway, what goes. */
import type { ArtifactName, InstallPlan, PlanStep } from '@leonore/protocol';
import { fittingBuilds, getOrAdd, type Catalogue } from './catalogue.ts';
import type { Candidate } from './candidates.ts';
import { orderOf } from './order.ts';
import type { Need, Problem } from './problem.ts';
import { capabilityVersion } from './ranges.ts';
import type { InstalledVersion, ResolveRequest } from './request.ts';

export function createPlan(
  chosen: readonly number[],
  problem: Problem,
  request: ResolveRequest,
  catalogue: Catalogue,
): InstallPlan {
  const links = linksOf(candidatesIn(chosen, problem), problem);
  const sequence = dependenciesFirst(rootsIn(chosen, problem), links);
  const steps = sequence.map((variable) => stepOf(variable, sequence, links, problem, request));
  return { steps, remove: removals(request, catalogue, new Set(steps.map(({ name }) => name))) };
}

/**
 * Of what was chosen the candidates that something needs or wishes for, what was requested first, then what that needs,
 * nearest first.
 */
export function neededOf(chosen: readonly number[], problem: Problem): readonly number[] {
  const links = linksOf(candidatesIn(chosen, problem), problem);
  const needed = new Set(rootsIn(chosen, problem));
  for (const component of needed) for (const { by } of links.get(component) ?? []) needed.add(by);
  return [...needed];
}

function candidatesIn(chosen: readonly number[], { candidates }: Problem): ReadonlySet<number> {
  return new Set(chosen.filter((variable) => candidates[variable] !== undefined));
}

function rootsIn(chosen: readonly number[], { roots }: Problem): readonly number[] {
  const there = new Set(chosen);
  return roots.flatMap(({ demand }) => demand.candidates.find((one) => there.has(one)) ?? []);
}

interface Link {
  readonly by: number;
  /** Why the other needs it. */
  readonly text: string;
  /** False for a wish that would close a circle: it may come later. */
  readonly first: boolean;
}
type Links = ReadonlyMap<number, readonly Link[]>;

/** What each component needs, and what it wishes for and is there. */
function linksOf(there: ReadonlySet<number>, problem: Problem): Links {
  const links = new Map(needLinksOf(there, problem));
  const leadsTo = (from: number, to: number): boolean => {
    const reached = new Set([from]);
    for (const one of reached) for (const { by, first } of links.get(one) ?? []) if (first) reached.add(by);
    return reached.has(to);
  };
  for (const component of there) {
    for (const { candidates, range } of problem.wishes[component] ?? []) {
      const by = candidates.find((one) => there.has(one));
      if (by === undefined) continue;
      const link = { by, text: `can use it (${range})`, first: !leadsTo(by, component) };
      links.set(component, [...(links.get(component) ?? []), link]);
    }
  }
  return links;
}

/** For each component what meets each of its needs: the preferred one, unless only another leaves an order to install in. */
function needLinksOf(there: ReadonlySet<number>, { needs }: Problem): Links {
  const needsOf = (component: number): readonly Need[] => needs[component] ?? [];
  const order = orderOf(there, needsOf);
  const sequence = order.kind === 'ordered' ? order.sequence : [...there];
  const rank = new Map(sequence.map((component, index) => [component, index]));
  const link = (allowed: (component: number, by: number) => boolean): ReadonlyMap<number, readonly NeedLink[]> =>
    new Map(
      sequence.map((component) => [
        component,
        needsOf(component).flatMap((need) => {
          const by = need.demand.candidates.find((one) => there.has(one) && allowed(component, one));
          return by === undefined ? [] : [{ need, by }];
        }),
      ]),
    );
  const preferred = link(() => true);
  const alone = (component: number): readonly Need[] =>
    (preferred.get(component) ?? []).map(({ need, by }) => ({ ...need, demand: { ...need.demand, candidates: [by] } }));
  const chosen =
    orderOf(there, alone).kind === 'ordered'
      ? preferred
      : link((component, by) => (rank.get(by) ?? 0) < (rank.get(component) ?? 0));
  const told = (list: readonly NeedLink[]) => list.map(({ need, by }) => ({ by, text: needText(need), first: true }));
  return new Map([...chosen].map(([component, list]) => [component, told(list)]));
}

interface NeedLink {
  readonly need: Need;
  readonly by: number;
}

/** What the requested applications need, each after all it needs itself. Leaves out what nobody turned out to need. */
function dependenciesFirst(roots: readonly number[], links: Links): readonly number[] {
  const sequence = new Set<number>();
  const visit = (component: number): void => {
    if (sequence.has(component)) return;
    for (const { by, first } of links.get(component) ?? []) if (first) visit(by);
    sequence.add(component);
  };
  roots.forEach(visit);
  for (const component of sequence) for (const { by } of links.get(component) ?? []) visit(by);
  return [...sequence];
}

function stepOf(
  variable: number,
  sequence: readonly number[],
  links: Links,
  { candidates }: Problem,
  request: ResolveRequest,
): PlanStep {
  const at = (component: number): Candidate => candidates[component] as Candidate;
  const { name, version, artifact } = at(variable);
  const requested = request.applications.some((application) => application.name === name);
  const needed = sequence.flatMap((component) =>
    (links.get(component) ?? [])
      .filter(({ by }) => by === variable)
      .map(({ text }) => `${at(component).name} ${at(component).version} ${text}`),
  );
  const from = request.installed.find((component) => component.name === name)?.version;
  const before = (links.get(variable) ?? []).filter(({ first }) => first);
  const providers = new Set(before.map(({ by }) => by));
  return {
    action: from === undefined ? 'install' : from === version ? 'keep' : 'update',
    name,
    version,
    platform: artifact?.manifest.platform ?? {},
    ...(artifact ? { contentSha256: artifact.contentSha256 } : {}),
    ...(from === undefined || from === version ? {} : { from }),
    requested,
    because: requested ? 'requested' : needed.join(', '),
    after: sequence.filter((component) => providers.has(component)).map((component) => at(component).name),
  };
}

function needText({ demand, range }: Need): string {
  if (demand.kind === 'any-of') return `needs ${demand.target}`;
  return demand.kind === 'artifact' ? `needs it (${range})` : `needs ${demand.target} (${range})`;
}

/** What was installed and is not in the plan; what needs others goes before them. */
function removals(
  request: ResolveRequest,
  catalogue: Catalogue,
  staying: ReadonlySet<ArtifactName>,
): InstallPlan['remove'] {
  const going = request.installed
    .filter(({ name }) => !staying.has(name))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const usersOf = usersAmong(going, request, catalogue);
  const sequence = new Set<InstalledVersion>();
  const entered = new Set<InstalledVersion>();
  const visit = (component: InstalledVersion): void => {
    // Installed things may need each other in a circle; then any order is as good.
    if (entered.has(component)) return;
    entered.add(component);
    for (const user of usersOf(component)) visit(user);
    sequence.add(component);
  };
  for (const component of going) visit(component);
  return [...sequence].map(({ name, version, requested }) => ({
    name,
    version,
    because: requested ? 'no longer requested' : 'nothing needs it any more',
  }));
}

/** For each of the installed components those that use it, in their order. */
function usersAmong(
  installed: readonly InstalledVersion[],
  request: ResolveRequest,
  catalogue: Catalogue,
): (component: InstalledVersion) => readonly InstalledVersion[] {
  const manifests = new Map(
    installed.map((component) => {
      const { name, version } = component;
      const builds = catalogue.versions(name).find((entry) => entry.version === version)?.builds ?? [];
      return [component, (fittingBuilds(builds, request)[0] ?? builds[0])?.manifest];
    }),
  );
  const byArtifact = new Map<string, InstalledVersion[]>();
  const byCapability = new Map<string, { user: InstalledVersion; range: string }[]>();
  for (const [user, manifest] of manifests) {
    if (!manifest) continue;
    const { artifacts, optional = {}, capabilities, anyOf = [] } = manifest.requires;
    const alternatives = anyOf.flat();
    const names = [
      ...Object.keys(artifacts),
      ...Object.keys(optional),
      ...alternatives.flatMap((one) => one.artifact ?? []),
    ];
    for (const name of names) getOrAdd(byArtifact, name, (): InstalledVersion[] => []).push(user);
    for (const { capability, range } of [
      ...Object.entries(capabilities).map(([name, each]) => ({ capability: name, range: each })),
      ...alternatives,
    ]) {
      if (capability !== undefined)
        getOrAdd(byCapability, capability, (): { user: InstalledVersion; range: string }[] => []).push({ user, range });
    }
  }
  return (component) => {
    const users = new Set(byArtifact.get(component.name));
    for (const [capability, text] of Object.entries(manifests.get(component)?.provides ?? {})) {
      const version = capabilityVersion(text);
      for (const { user, range } of byCapability.get(capability) ?? []) {
        if (version !== undefined && catalogue.ranges.covers(version, range)) users.add(user);
      }
    }
    return installed.filter((one) => one !== component && users.has(one));
  };
}
