/** Who does the solving: this thread, a slice at a time, or another one (`solver-thread.ts`). The answer is the same. */
import type { Resolution } from '@leonore/protocol';
import type { Catalogue } from './catalogue.ts';
import type { ResolveRequest } from './request.ts';
import { resolving, type ResolveOptions } from './resolve.ts';
import { createLooked, watched, type Looked } from './sightings.ts';
import { createPacer, type Pacer, type Work } from './work.ts';

export interface Solved {
  readonly resolution: Resolution;
  readonly looked: Looked;
}

export interface Solver {
  /** `tenant`: whose catalogue it is. Never holds up the event loop for long. */
  solve(tenant: string, request: ResolveRequest, catalogue: Catalogue): Promise<Solved>;
}

export function* solving(request: ResolveRequest, catalogue: Catalogue, options: ResolveOptions = {}): Work<Solved> {
  const looked = createLooked();
  const { margins } = looked;
  const resolution = yield* resolving(request, watched(catalogue, looked), { ...options, margins });
  return { resolution, looked };
}

export function createSlicingSolver(pacer: Pacer = createPacer(), options: ResolveOptions = {}): Solver {
  return { solve: (_tenant, request, catalogue) => pacer.run(solving(request, catalogue, options)) };
}
