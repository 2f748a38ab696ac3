/**
 * What a solver looked at to find an answer. A publication leaves the lists of all other artifacts as they are, so whether
 * an answer still holds is told by identity.
 */
import type { ArtifactName } from '@leonore/protocol';
import type { Catalogue, CatalogueVersion } from './catalogue.ts';
import { createMargins, type Margins } from './margins.ts';

/** In names, so that it means the same in another thread's copy of the catalogue. */
export interface Looked {
  /** Names of artifacts whose versions were asked for. */
  readonly versions: Set<string>;
  /** Capabilities whose providers were asked for. */
  readonly providers: Set<string>;
  /** True when the names themselves were gone through. */
  names: boolean;
  /** What was found out about the gateway's resources. */
  readonly margins: Margins;
}

export function createLooked(): Looked {
  return { versions: new Set(), providers: new Set(), names: false, margins: createMargins() };
}

/** The catalogue itself, but what is asked of it is noted. */
export function watched(catalogue: Catalogue, looked: Looked): Catalogue {
  return {
    revision: catalogue.revision,
    ranges: catalogue.ranges,
    get names() {
      looked.names = true;
      return catalogue.names;
    },
    versions(name) {
      looked.versions.add(name);
      return catalogue.versions(name);
    },
    providers(capability) {
      looked.providers.add(capability);
      return catalogue.providers(capability);
    },
    find(step) {
      looked.versions.add(step.name);
      return catalogue.find(step);
    },
  };
}

export interface Sightings {
  /** True when all of it is the same there. */
  holdIn(catalogue: Catalogue): boolean;
}

/** The lists that were looked at, without holding on to the catalogue itself. */
export function sightingsIn(catalogue: Catalogue, looked: Looked): Sightings {
  const versions = new Map<string, readonly CatalogueVersion[]>();
  for (const name of looked.versions) versions.set(name, catalogue.versions(name));
  const providers = new Map<string, readonly ArtifactName[]>();
  for (const capability of looked.providers) providers.set(capability, catalogue.providers(capability));
  const names = looked.names ? catalogue.names : undefined;
  return {
    holdIn(other) {
      if (names !== undefined && names !== other.names) return false;
      for (const [name, list] of versions) if (other.versions(name) !== list) return false;
      for (const [capability, list] of providers) if (other.providers(capability) !== list) return false;
      return true;
    },
  };
}
