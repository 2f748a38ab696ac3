/**
 * What each class of the selected gateways would get: gateways are read a page at a time and put into classes, then each
 * class is solved once, and once more for those that have too little memory or disk for that. Between pages and
 * solutions the event loop goes its way.
 */
import { setImmediate as turn } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import {
  type ExplainClassesAnswer,
  type GatewayId,
  type GatewayProfile,
  LeonoreError,
  parseSelector,
  type Tenant,
} from '@leonore/protocol';
import type { GatewayRecord, Repositories } from '../repositories/mod.ts';
import { type Planner, platformOf, resourcesOf } from './planner.ts';
import type { RolloutChange } from './wanted.ts';

export interface ClassExplanationLimits {
  /** Gateways that are looked at. */
  readonly gateways: number;
  /** Classes that are kept apart, and solutions that are looked for. */
  readonly classes: number;
}

const LIMITS: ClassExplanationLimits = { gateways: 100_000, classes: 200 };
const PAGE = 100;

interface GatewayClass {
  readonly first: GatewayRecord;
  /** By what they have, in the order of the first of them. */
  readonly groups: Map<string, Group>;
}

/** Gateways of a class that have exactly the same. */
interface Group extends Pick<GatewayProfile, 'memory' | 'disk'> {
  readonly example: GatewayId;
  gateways: number;
}

type ExplainedClass = ExplainClassesAnswer['classes'][number];

/** @throws selector.syntax, selector.no-match */
export type ExplainClasses = (tenant: Tenant, selector: string, change: RolloutChange) => Promise<ExplainClassesAnswer>;

export function createClassExplanation(
  deps: { repositories: Repositories; planner: Pick<Planner, 'classKey' | 'resolveClass'> },
  limits: ClassExplanationLimits = LIMITS,
): ExplainClasses {
  const { repositories, planner } = deps;

  async function classify(tenant: Tenant, text: string, change: RolloutChange) {
    const selector = parseSelector(text);
    const classes = new Map<string, GatewayClass>();
    let seen = 0;
    let inNone = 0;
    let cursor: string | undefined;
    do {
      const limit = Math.min(PAGE, limits.gateways - seen);
      const page = await repositories.read.gateways.list(tenant, { selector, limit, cursor });
      for (const gateway of page.items) {
        const key = planner.classKey(gateway, change);
        const known = classes.get(key) ?? { first: gateway, groups: new Map<string, Group>() };
        if (classes.size < limits.classes) classes.set(key, known);
        if (classes.has(key)) join(known, gateway);
        else inNone++;
      }
      seen += page.items.length;
      cursor = page.next;
      await turn();
    } while (cursor !== undefined && seen < limits.gateways);
    const matched = cursor === undefined ? seen : await repositories.read.gateways.count(tenant, selector);
    return { matched, seen, inNone, classes: [...classes.values()].toSorted((a, b) => sizeOf(b) - sizeOf(a)) };
  }

  /** At most `most` solutions, each for as many of the class as it holds for. */
  async function explainClass(tenant: Tenant, { first, groups }: GatewayClass, change: RolloutChange, most: number) {
    const explained: ExplainedClass[] = [];
    let open = [...groups.values()];
    let solutions = 0;
    for (let [group] = open; group && solutions < most; [group] = open) {
      const { memory, disk, example } = group;
      const gateway = { ...first, id: example, profile: { ...first.profile, memory, disk } };
      const answer = await planner.resolveClass(tenant, gateway, change);
      const same = open.filter((other) => other === group || answer.holdsFor(resourcesOf(other)));
      const { resolution } = answer;
      const gateways = same.reduce((sum, other) => sum + other.gateways, 0);
      const known = explained.find((other) => isDeepStrictEqual(other.resolution, resolution));
      if (known) known.gateways += gateways;
      else explained.push({ gateways, example, platform: platformOf(first.profile), resolution });
      const done = new Set(same);
      open = open.filter((other) => !done.has(other));
      solutions++;
      await turn();
    }
    return { explained, solutions, left: open.reduce((sum, other) => sum + other.gateways, 0) };
  }

  return async (tenant, text, change) => {
    const { matched, seen, classes, ...found } = await classify(tenant, text, change);
    if (matched === 0) {
      throw new LeonoreError(
        'selector.no-match',
        `no gateway matches "${text}"; leonore gateway list shows who there is`,
      );
    }
    const all: ExplainedClass[] = [];
    let { inNone } = found;
    let left = limits.classes;
    for (const one of classes) {
      const explained = await explainClass(tenant, one, change, left);
      all.push(...explained.explained);
      inNone += explained.left;
      left -= explained.solutions;
    }
    const cutOff = [
      ...(seen < matched ? [`only the first ${seen} of ${matched} gateways were looked at`] : []),
      ...(inNone > 0 ? [`there are more than ${limits.classes} classes: ${inNone} gateways are in none of these`] : []),
    ].join('; ');
    return {
      selector: text,
      gateways: matched,
      classes: all.toSorted((a, b) => b.gateways - a.gateways),
      ...(cutOff === '' ? {} : { cutOff }),
    };
  };
}

function join({ groups }: GatewayClass, { id, profile: { memory, disk } }: GatewayRecord): void {
  const key = JSON.stringify(resourcesOf({ memory, disk }));
  const known = groups.get(key);
  if (known) known.gateways++;
  else groups.set(key, { memory, disk, example: id, gateways: 1 });
}

function sizeOf({ groups }: GatewayClass): number {
  return [...groups.values()].reduce((sum, { gateways }) => sum + gateways, 0);
}
