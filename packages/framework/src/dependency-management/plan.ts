/** The chosen versions as an install plan: who provides what to whom, order, what changes on the gateway, what goes. */
import type { ArtifactName, InstallPlan, PlanStep } from '@leonore/protocol';
import { fitsPlatform, type Catalogue } from './catalogue.ts';
import type { Candidate } from './candidates.ts';
import { orderOf } from './order.ts';
import type { Need, Problem } from './problem.ts';
import { capabilityVersion, own } from './ranges.ts';
import type { InstalledVersion, ResolveRequest } from './request.ts';

export function createPlan(
  chosen: readonly number[],
  problem: Problem,
  request: ResolveRequest,
  catalogue: Catalogue,
): InstallPlan {
  const there = new Set(chosen.filter((variable) => problem.candidates[variable] !== undefined));
  const links = linksOf(there, problem);
  const sequence = dependenciesFirst(problem, there, links);
  const steps = sequence.map((variable) => stepOf(variable, sequence, links, problem, request));
  return { steps, remove: removals(request, catalogue, new Set(steps.map(({ name }) => name))) };
}

type Links = ReadonlyMap<number, readonly { readonly need: Need; readonly by: number }[]>;

/** For each component what meets each of its needs: the preferred one, unless only another leaves an order to install in. */
function linksOf(there: ReadonlySet<number>, { needs }: Problem): Links {
  const needsOf = (component: number): readonly Need[] => needs[component] ?? [];
  const order = orderOf(there, needsOf);
  const sequence = order.kind === 'ordered' ? order.sequence : [...there];
  const rank = new Map(sequence.map((component, index) => [component, index]));
  const link = (allowed: (component: number, by: number) => boolean): Links =>
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
  if (orderOf(there, alone).kind === 'ordered') return preferred;
  return link((component, by) => (rank.get(by) ?? 0) < (rank.get(component) ?? 0));
}

/** What the requested applications need, each after all it needs itself. Leaves out what nobody turned out to need. */
function dependenciesFirst({ roots }: Problem, there: ReadonlySet<number>, links: Links): readonly number[] {
  const sequence = new Set<number>();
  const visit = (component: number): void => {
    if (sequence.has(component)) return;
    for (const { by } of links.get(component) ?? []) visit(by);
    sequence.add(component);
  };
  for (const { demand } of roots) {
    const application = demand.candidates.find((one) => there.has(one));
    if (application !== undefined) visit(application);
  }
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
      .map(({ need }) => `${at(component).name} ${at(component).version} ${needText(need)}`),
  );
  const from = request.installed.find((component) => component.name === name)?.version;
  const providers = new Set((links.get(variable) ?? []).map(({ by }) => by));
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
  const sequence = new Set<InstalledVersion>();
  const entered = new Set<InstalledVersion>();
  const visit = (component: InstalledVersion): void => {
    // Installed things may need each other in a circle; then any order is as good.
    if (entered.has(component)) return;
    entered.add(component);
    for (const needy of going) if (needs(needy, component, request, catalogue)) visit(needy);
    sequence.add(component);
  };
  for (const component of going) visit(component);
  return [...sequence].map(({ name, version, requested }) => ({
    name,
    version,
    because: requested ? 'no longer requested' : 'nothing needs it any more',
  }));
}

function needs(
  needy: InstalledVersion,
  other: InstalledVersion,
  { platform }: ResolveRequest,
  catalogue: Catalogue,
): boolean {
  if (needy.name === other.name) return false;
  const manifestOf = ({ name, version }: InstalledVersion) => {
    const known = catalogue.versions(name).find((entry) => entry.version === version)?.builds ?? [];
    return (known.find((build) => fitsPlatform(build.manifest.platform, platform)) ?? known[0])?.manifest;
  };
  const manifest = manifestOf(needy);
  if (!manifest) return false;
  if (own(manifest.requires.artifacts, other.name) !== undefined) return true;
  return Object.entries(manifest.requires.capabilities).some(([capability, range]) => {
    const text = own(manifestOf(other)?.provides ?? {}, capability);
    const version = text === undefined ? undefined : capabilityVersion(text);
    return version !== undefined && catalogue.ranges.covers(version, range);
  });
}
