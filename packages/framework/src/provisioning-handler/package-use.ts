/** Tasks are made only with packages that are there: where one was collected since it was planned, it is planned again. */
import { LeonoreError, type PackageId, type Tenant } from '@leonore/protocol';
import type { PackageBuilder } from '../package-builder/mod.ts';
import type { RepositorySet } from '../repositories/mod.ts';
import type { Planner } from './planner.ts';

/** To be called in the transaction that makes tasks with these packages; ends it where one of them is gone. */
export type UsePackages = (set: RepositorySet, tenant: Tenant, ids: readonly PackageId[]) => Promise<void>;

const MAX_TRIES = 10;

class PackagesGone extends Error {}

/** `work` plans and writes, all of it again when its transaction was ended by `use`. */
export async function withPackages<T>(
  { builder, planner }: { builder: Pick<PackageBuilder, 'use'>; planner: Pick<Planner, 'forgetPackages'> },
  work: (use: UsePackages) => Promise<T>,
): Promise<T> {
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    try {
      return await work(async (set, tenant, ids) => {
        if (!(await builder.use(set, tenant, ids))) throw new PackagesGone();
      });
    } catch (error) {
      if (!(error instanceof PackagesGone)) throw error;
      planner.forgetPackages();
    }
  }
  throw new LeonoreError(
    'server.internal',
    'packages were removed as often as they were made; they are kept too briefly',
  );
}
