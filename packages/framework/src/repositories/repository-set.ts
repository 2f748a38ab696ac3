/** The repositories over one database connection (or pool): the same queries on every driver. */
import { createArtifactRepository } from './artifact/artifact-repository.ts';
import type { RepositorySet } from './contract.ts';
import { createDeltaRepository } from './delta/delta-repository.ts';
import { createGatewayRepository } from './gateway/gateway-repository.ts';
import { createPackageRepository } from './package/package-repository.ts';
import { createRolloutRepository } from './rollout/rollout-repository.ts';
import type { Db } from './schema.ts';

export function createRepositorySet(db: Db): RepositorySet {
  return {
    artifacts: createArtifactRepository(db),
    packages: createPackageRepository(db),
    deltas: createDeltaRepository(db),
    gateways: createGatewayRepository(db),
    rollouts: createRolloutRepository(db),
  };
}
