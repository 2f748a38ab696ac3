/** A process for tests: composes one package after another, several at a time, and says which are done. Never ends. */
import { DEFAULT_TENANT } from '@leonore/protocol';
import { createArchiveFormats, createByteCache, createPackageBuilder } from '../mod.ts';
import { openStores, requestFor } from './builds.ts';

const AT_ONCE = 10;

const [dir = '', first = '0'] = process.argv.slice(2);
await using stores = await openStores(dir);
const builds = await stores.repositories.read.artifacts.all(DEFAULT_TENANT);
const cache = createByteCache({ maxBytes: 0, maxItemBytes: 0 });
const builder = createPackageBuilder({ ...stores, cache, now: Date.now, formats: createArchiveFormats() });
for (let number = Number(first); ; number += AT_ONCE) {
  await Promise.all(
    Array.from({ length: AT_ONCE }, async (_, i) => {
      const formats = [i % 2 === 0 ? ('tar.gz' as const) : ('tar.zst' as const)];
      const request = requestFor(builds, { formats, platform: { os: `os-${number + i}` } });
      const { summary } = await builder.build(DEFAULT_TENANT, request);
      process.stdout.write(`${summary.id}\n`);
    }),
  );
}
