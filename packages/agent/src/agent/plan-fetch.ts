/**
 * From where each component's content is had for the fewest bytes over the air. Pure: what is held and what is installed
 * is told, not looked up.
 *
 *   held       its segment is in downloads/, whole
 *   installed  the same content is on the disk, whatever version it goes by
 *   delta      an offer starts from content that is on the disk, and both tars fit into memory
 *   full       its segment, or what is missing of it, out of the package
 */
import type { DeltaOffer, PackageComponent, PackageManifest, Sha256 } from '@leonore/protocol';

/** A tar that can be made again from what is installed. */
export interface Base {
  readonly contentSha256: Sha256;
  /** Bytes of the tar. */
  readonly size: number;
}

export type ComponentFetch<B extends Base = Base> = { readonly component: PackageComponent } & (
  | { readonly way: 'held' | 'full' }
  | { readonly way: 'installed'; readonly base: B }
  | { readonly way: 'delta'; readonly base: B; readonly offer: DeltaOffer }
);

export interface FetchChoices<B extends Base = Base> {
  readonly installed: readonly B[];
  /** Bytes that are here already, by the digest of what they are the beginning of. */
  readonly held: ReadonlyMap<Sha256, number>;
  readonly offers: readonly DeltaOffer[];
  /** Bytes that the old and the new tar of a delta may have together. */
  readonly memoryBytes: number;
}

export function planFetch<B extends Base>(manifest: PackageManifest, choices: FetchChoices<B>): ComponentFetch<B>[] {
  return manifest.components.map((component) => planComponent(component, choices));
}

function planComponent<B extends Base>(component: PackageComponent, choices: FetchChoices<B>): ComponentFetch<B> {
  const { installed, offers, memoryBytes } = choices;
  const missing = (sha256: Sha256, length: number): number => length - (choices.held.get(sha256) ?? 0);
  const { segment } = component;
  let least = missing(segment.sha256, segment.length);
  if (least === 0) return { component, way: 'held' };
  const same = installed.find(({ contentSha256 }) => contentSha256 === component.contentSha256);
  if (same) return { component, way: 'installed', base: same };
  let best: ComponentFetch<B> = { component, way: 'full' };
  for (const offer of offers) {
    if (offer.name !== component.name || offer.fromSize + offer.toSize > memoryBytes) continue;
    const base = installed.find(({ contentSha256 }) => contentSha256 === offer.from);
    const bytes = missing(offer.sha256, offer.size);
    if (!base || base.size !== offer.fromSize || bytes >= least) continue;
    best = { component, way: 'delta', base, offer };
    least = bytes;
  }
  return best;
}

/** A package that is not much longer than its header costs less than a second request. */
const WORTH_A_REQUEST_BYTES = 16 * 1024;

/**
 * Whether the header is asked for by itself, to see what need not be sent. Otherwise the package comes whole, in one
 * answer: there is nothing here that it could have in common with anything.
 */
export function headerFirst(
  task: { readonly size: number; readonly headerSize: number; readonly deltas: readonly DeltaOffer[] },
  here: { readonly installed: number; readonly holdsParts: boolean },
): boolean {
  if (task.size - task.headerSize < WORTH_A_REQUEST_BYTES) return false;
  return task.deltas.length > 0 || here.installed > 0 || here.holdsParts;
}

export interface Memory {
  /** Bytes of the machine, or of the limit that it sets this process. */
  readonly total: number;
  /** Bytes that can be had without anything being swapped out. */
  readonly available: number;
}

/** Bytes that the tars of a delta may have: the old one lies there twice while it is applied, and the decoder's window is as large as the new one. */
export function deltaMemory({ total, available }: Memory): number {
  return Math.floor(Math.min(total / 4, available / 2));
}
