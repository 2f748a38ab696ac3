/** A database for the tests of one group; each test takes tenants of its own, so no test sees another's rows. */
import { after, before } from 'node:test';
import type { Tenant } from '@leonore/protocol';
import type { Repositories, RepositorySet } from '../contract.ts';
import { tenantNamed } from './samples.ts';

/** Opens repositories over a new, empty database. */
export type OpenEmpty = () => Promise<Repositories>;

export interface TestDatabase {
  readonly repositories: Repositories;
  readonly read: RepositorySet;
  write<T>(work: (set: RepositorySet) => Promise<T>): Promise<T>;
  newTenant(): Tenant;
}

/** To be called inside of `describe`. */
export function useDatabase(open: OpenEmpty): TestDatabase {
  let opened: Repositories | undefined;
  let tenants = 0;
  before(async () => {
    opened = await open();
  });
  after(() => opened?.[Symbol.asyncDispose]());
  const repositories = (): Repositories => {
    if (!opened) throw new Error('the database is open only while tests run');
    return opened;
  };
  return {
    get repositories() {
      return repositories();
    },
    get read() {
      return repositories().read;
    },
    write: (work) => repositories().write(work),
    newTenant: () => tenantNamed(`tenant-${++tenants}`),
  };
}
