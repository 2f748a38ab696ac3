/** What would fit instead of what cannot be had: other versions, a name that is nearly right, one application less. */
import type { ApplicationRequest, ArtifactName, InstallPlan, PlanStep } from '@leonore/protocol';
import type { Catalogue } from './catalogue.ts';
import type { ResolveRequest } from './request.ts';
import { list, nearNames } from './wording.ts';
import type { Work } from './work.ts';

/** Plans another request, to see whether it would do. */
export type Attempt = (request: ResolveRequest) => Work<InstallPlan | undefined>;

interface Alternative {
  readonly applications: readonly ApplicationRequest[];
  readonly words: (plan: InstallPlan) => string;
}

/** Each attempt is a search; nobody reads more than a few suggestions. */
const MOST_ATTEMPTS = 8;

/**
 * In words, best first. `positions` are those of the applications that cannot be had (together). Changing one of them
 * comes first, then changing them all, then leaving one out; what works ends the list of what is tried.
 */
export function* suggest(
  positions: readonly number[],
  request: ResolveRequest,
  catalogue: Catalogue,
  attempt: Attempt,
): Work<string[]> {
  let left = MOST_ATTEMPTS;
  const stages = [changeOne, changeAll, leaveOneOut];
  for (const stage of stages) {
    const suggestions = new Set<string>();
    for (const { applications, words } of stage(positions, request.applications, catalogue)) {
      if (left-- <= 0) break;
      const plan = yield* attempt({ ...request, applications });
      if (plan) suggestions.add(words(plan));
    }
    if (suggestions.size > 0) return [...suggestions];
  }
  return [];
}

function* changeOne(
  positions: readonly number[],
  applications: readonly ApplicationRequest[],
  catalogue: Catalogue,
): Generator<Alternative> {
  for (const position of positions) {
    const { name, range } = applications[position] as ApplicationRequest;
    const versions = catalogue.versions(name);
    if (versions.length === 0) {
      for (const near of nearNames(name, catalogue.names) as ArtifactName[]) {
        const changed = applications.with(position, { name: near, range });
        yield { applications: changed, words: (plan) => withDependencies([near], plan) };
      }
    }
    if (range !== '*') {
      const changed = applications.map((other) => (other.name === name ? { name, range: '*' } : other));
      yield { applications: changed, words: (plan) => withDependencies([name], plan) };
    }
    const early = versions.find(({ parsed }) => parsed.prerelease.length > 0 && catalogue.ranges.covers(parsed, range));
    if (early) {
      const changed = applications.with(position, { name, range: early.version });
      yield { applications: changed, words: (plan) => `${withDependencies([name], plan)} (a pre-release)` };
    }
  }
}

function* changeAll(positions: readonly number[], applications: readonly ApplicationRequest[]): Generator<Alternative> {
  if (positions.length < 2) return;
  const names = new Set(positions.map((position) => (applications[position] as ApplicationRequest).name));
  const changed = applications.map((other) => (names.has(other.name) ? { name: other.name, range: '*' } : other));
  yield { applications: changed, words: (plan) => withDependencies([...names], plan) };
}

function* leaveOneOut(
  positions: readonly number[],
  applications: readonly ApplicationRequest[],
): Generator<Alternative> {
  const names = new Set(positions.map((position) => (applications[position] as ApplicationRequest).name));
  if (names.size < 2) return;
  for (const name of names) {
    const others = [...names].filter((other) => other !== name);
    yield {
      applications: applications.filter((application) => application.name !== name),
      words: (plan) => `without ${name}: ${withDependencies(others, plan)}`,
    };
  }
}

/** `building-monitor 1.4.2 with svm 1.2.28`. */
function withDependencies(names: readonly string[], { steps }: InstallPlan): string {
  const byName = new Map<string, PlanStep>(steps.map((step) => [step.name, step]));
  const needed = new Set(names);
  for (const name of needed) for (const other of byName.get(name)?.after ?? []) needed.add(other);
  const label = (name: string): string => `${name} ${byName.get(name)?.version}`;
  const dependencies = [...needed].filter((name) => !names.includes(name)).map(label);
  const subject = list(names.map(label));
  return dependencies.length > 0 ? `${subject} with ${list(dependencies)}` : subject;
}
