/** What runs in the solver's thread (`solver-thread.ts`): holds catalogues, answers questions. Dies of what goes wrong. */
import type { Artifact } from '@leonore/protocol';
import { parentPort } from 'node:worker_threads';
import { getOrAdd, updatingCatalogue, type Catalogue } from './catalogue.ts';
import { NOTHING_MOVED, type ToSolver } from './solver-thread.ts';
import { solving } from './solver.ts';
import { atOnce } from './work.ts';

interface Copy {
  readonly builds: Map<string, Artifact[]>;
  catalogue: Catalogue | undefined;
  /** Builds changed since the catalogue was made. */
  stale: boolean;
}

const tenants = new Map<string, Copy>();

parentPort?.on('message', (message: ToSolver) => {
  const copy = getOrAdd(tenants, message.tenant, newCopy);
  switch (message.kind) {
    case 'forget':
      for (const name of message.names) copy.builds.delete(name);
      if (message.names.length > 0) copy.stale = true;
      return;
    case 'add':
      for (const build of message.builds) {
        getOrAdd(copy.builds, build.manifest.name as string, (): Artifact[] => []).push(build);
      }
      return;
    case 'solve': {
      const options = message.stepLimit === undefined ? {} : { stepLimit: message.stepLimit };
      parentPort?.postMessage(atOnce(solving(message.request, catalogueOf(copy), options)), NOTHING_MOVED);
      return;
    }
    default:
      message satisfies never;
  }
});

function newCopy(): Copy {
  return { builds: new Map(), catalogue: undefined, stale: true };
}

function catalogueOf(copy: Copy): Catalogue {
  if (!copy.catalogue || copy.stale) {
    copy.catalogue = atOnce(updatingCatalogue(copy.catalogue, [...copy.builds.values()].flat(), 0));
    copy.stale = false;
  }
  return copy.catalogue;
}
