/** The one suite that every driver passes; sqlite.test.ts and postgres.test.ts call it, each with its own database. */
import { describe } from 'node:test';
import { artifactRepositoryConforms } from './conformance/artifacts.ts';
import type { OpenEmpty } from './conformance/database.ts';
import { deltaRepositoryConforms } from './conformance/deltas.ts';
import { gatewayRepositoryConforms } from './conformance/gateways.ts';
import { packageRepositoryConforms } from './conformance/packages.ts';
import { rolloutsConform } from './conformance/rollouts.ts';
import { tasksConform } from './conformance/tasks.ts';
import { tenantsAreApart } from './conformance/tenants.ts';
import { writesConform } from './conformance/writes.ts';

/** `open` gives repositories over a new, empty database each time. */
export function repositoriesConform(driver: string, open: OpenEmpty): void {
  describe(`repositories on ${driver}`, () => {
    writesConform(open);
    artifactRepositoryConforms(open);
    packageRepositoryConforms(open);
    deltaRepositoryConforms(open);
    gatewayRepositoryConforms(open);
    rolloutsConform(open);
    tasksConform(open);
    tenantsAreApart(open);
  });
}
