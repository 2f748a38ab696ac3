/**
 * What each class of the selected gateways would get: gateways are read a page at a time and put into classes, then each
 * class is solved once. Between pages and solutions the event loop goes its way.
 */
import { setImmediate as turn } from 'node:timers/promises';
import { type ExplainClassesAnswer, LeonoreError, parseSelector, type Tenant } from '@leonore/protocol';
import type { GatewayRecord, Repositories } from '../repositories/mod.ts';
import { type Planner, platformOf } from './planner.ts';
import type { RolloutChange } from './wanted.ts';

export interface ClassExplanationLimits {
  /** Gateways that are looked at. */
  readonly gateways: number;
  /** Classes that are solved. */
  readonly classes: number;
}

const LIMITS: ClassExplanationLimits = { gateways: 100_000, classes: 200 };
const PAGE = 100;

/** @throws selector.syntax, selector.no-match */
export type ExplainClasses = (tenant: Tenant, selector: string, change: RolloutChange) => Promise<ExplainClassesAnswer>;

export function createClassExplanation(
  deps: { repositories: Repositories; planner: Pick<Planner, 'classKey' | 'resolve'> },
  limits: ClassExplanationLimits = LIMITS,
): ExplainClasses {
  const { repositories, planner } = deps;

  async function classify(tenant: Tenant, text: string, change: RolloutChange) {
    const selector = parseSelector(text);
    const classes = new Map<string, { gateways: number; readonly first: GatewayRecord }>();
    let seen = 0;
    let inNone = 0;
    let cursor: string | undefined;
    do {
      const limit = Math.min(PAGE, limits.gateways - seen);
      const page = await repositories.read.gateways.list(tenant, { selector, limit, cursor });
      for (const gateway of page.items) {
        const key = planner.classKey(gateway, change);
        const known = classes.get(key);
        if (known) known.gateways++;
        else if (classes.size < limits.classes) classes.set(key, { gateways: 1, first: gateway });
        else inNone++;
      }
      seen += page.items.length;
      cursor = page.next;
      await turn();
    } while (cursor !== undefined && seen < limits.gateways);
    const matched = cursor === undefined ? seen : await repositories.read.gateways.count(tenant, selector);
    return { matched, seen, inNone, classes: [...classes.values()] };
  }

  return async (tenant, text, change) => {
    const { matched, seen, inNone, classes } = await classify(tenant, text, change);
    if (matched === 0) {
      throw new LeonoreError(
        'selector.no-match',
        `no gateway matches "${text}"; leonore gateway list shows who there is`,
      );
    }
    const explained: ExplainClassesAnswer['classes'] = [];
    for (const { gateways, first } of classes.toSorted((a, b) => b.gateways - a.gateways)) {
      const resolution = await planner.resolve(tenant, first, change);
      explained.push({ gateways, example: first.id, platform: platformOf(first.profile), resolution });
      await turn();
    }
    const cutOff = [
      ...(seen < matched ? [`only the first ${seen} of ${matched} gateways were looked at`] : []),
      ...(inNone > 0 ? [`there are more than ${limits.classes} classes: ${inNone} gateways are in none of these`] : []),
    ].join('; ');
    return { selector: text, gateways: matched, classes: explained, ...(cutOff === '' ? {} : { cutOff }) };
  };
}
