import { after, it } from 'node:test';
import { startPostgres } from '@leonore/testkit';
import { repositoriesConform } from './conformance.ts';
import { openPostgresRepositories } from './mod.ts';

const server = await startPostgres();
if (server.kind === 'missing') {
  it('repositories on PostgreSQL', { skip: server.reason });
} else {
  after(() => server[Symbol.asyncDispose]());
  repositoriesConform('PostgreSQL', async () => openPostgresRepositories({ url: await server.createDatabase() }));
}
