/**
 * How far an answer holds for gateways that have more or less memory and disk. A search looks at what a gateway has in
 * one way only: does it have so many bytes? Where every such comparison comes out the same, so does the answer.
 */
import type { Resource } from './problem.ts';
import type { ResolveRequest } from './request.ts';

/** Bytes. Noted while searching. */
export interface Margin {
  /** The largest sum that fitted. */
  atLeast: number;
  /** The smallest sum that did not. */
  below: number;
}

export type Margins = Readonly<Record<Resource, Margin>>;

export function createMargins(): Margins {
  return { memory: { atLeast: 0, below: Infinity }, disk: { atLeast: 0, below: Infinity } };
}

/** Compares, and notes how it came out. */
export function fits(bytes: number, available: number, margin: Margin): boolean {
  const does = bytes <= available;
  if (does) margin.atLeast = Math.max(margin.atLeast, bytes);
  else margin.below = Math.min(margin.below, bytes);
  return does;
}

/** What is not known is not limited, and was not looked at for anybody of the same class. */
export function areWithin(margins: Margins, resources: ResolveRequest['resources'] = {}): boolean {
  return (['memory', 'disk'] as const).every((resource) => {
    const { atLeast, below } = margins[resource];
    const has = resources[resource];
    return has === undefined || (has >= atLeast && has < below);
  });
}
