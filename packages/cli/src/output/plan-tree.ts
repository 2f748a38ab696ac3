/** An install plan as a tree (what is asked for, below it what it needs), or the facts that leave no plan. Pure. */
import { type Explanation, type InstallPlan, type PlanStep, platformKey, type Resolution } from '@leonore/protocol';
import { harmless, type Paint } from './paint.ts';
import { renderTree, type TreeNode } from './tree.ts';

export function renderResolution(gateway: string, resolution: Resolution, paint: Paint): string[] {
  switch (resolution.outcome) {
    case 'plan':
      return renderPlan(gateway, resolution.plan, paint);
    case 'unsatisfiable':
      return renderExplanation(resolution.explanation, paint);
    default:
      return resolution satisfies never;
  }
}

function renderPlan(gateway: string, plan: InstallPlan, paint: Paint): string[] {
  const changes = plan.steps.filter((step) => step.action !== 'keep').length + plan.remove.length;
  if (changes === 0) return [`${gateway}: everything is there already`, ...renderSteps(plan, paint)];
  const count = (action: PlanStep['action']) => plan.steps.filter((step) => step.action === action).length;
  const words = [
    `${count('install')} to install`,
    `${count('update')} to update`,
    `${plan.remove.length} to remove`,
    `${count('keep')} to keep`,
  ].filter((word) => !word.startsWith('0 '));
  return [`${paint.strong(gateway)}: ${words.join(', ')}`, ...renderSteps(plan, paint)];
}

function renderSteps(plan: InstallPlan, paint: Paint): string[] {
  const byName = new Map(plan.steps.map((step, index) => [step.name as string, { step, order: index + 1 }]));
  const needed = new Set(plan.steps.flatMap((step) => step.after as readonly string[]));
  const drawn = new Set<string>();

  function node(name: string): TreeNode[] {
    const found = byName.get(name);
    if (!found) return [];
    const again = drawn.has(name);
    drawn.add(name);
    const text = `${found.order}. ${describeStep(found.step, paint)}`;
    if (again) return [{ text: `${text} ${paint.faint('(see above)')}` }];
    return [{ text, children: found.step.after.flatMap(node) }];
  }

  const roots = plan.steps.filter((step) => step.requested || !needed.has(step.name)).map((step) => step.name);
  const nodes = roots.flatMap((name) => node(name));
  // A step that only a cycle reaches must not vanish from the picture.
  const rest = plan.steps.filter((step) => !drawn.has(step.name)).flatMap((step) => node(step.name));
  const removals = plan.remove.map(({ name, version, because }) => ({
    text: `${paint.bad('remove')} ${paint.strong(`${name} ${version}`)}  ${paint.faint(harmless(because))}`,
  }));
  return renderTree([...nodes, ...rest, ...removals]);
}

function describeStep(step: PlanStep, paint: Paint): string {
  const key = platformKey(step.platform);
  const label = paint.strong(`${step.name} ${step.version}`) + (key === 'any-any-any' ? '' : ` (${key})`);
  const because = paint.faint(harmless(step.because));
  switch (step.action) {
    case 'install':
      return `${paint.good('install')} ${label}  ${because}`;
    case 'update':
      return `${paint.busy('update')} ${label}${step.from ? ` from ${step.from}` : ''}  ${because}`;
    case 'keep':
      return `keep ${label}  ${because}`;
    default:
      return step.action satisfies never;
  }
}

/** The summary in the first line. */
export function renderExplanation(explanation: Explanation, paint: Paint): string[] {
  const suggestions = explanation.suggestions.map((text) => `${paint.good('try:')} ${harmless(text)}`);
  return [
    paint.bad(harmless(explanation.summary)),
    ...renderTree(explanation.facts.map((fact) => ({ text: harmless(fact.text) }))),
    ...suggestions,
  ];
}
