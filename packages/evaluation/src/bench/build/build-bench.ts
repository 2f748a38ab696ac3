/**
 * What the package builder costs, each part beside something that does the same work in the same run: composing, packing,
 * deltas, serving, and the memory for a small payload and a large one. Whatever comes out is checked, or there is no result.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { isLeonoreError } from '@leonore/protocol';
import { findNginx, NGINX_MISSING } from '../nginx.ts';
import { type BenchRow, benchRow } from '../report.ts';
import { type BuildBench, MB, megabytes } from './bench-context.ts';
import { composeCost } from './compose-cost.ts';
import { deltaCost } from './delta-cost.ts';
import { pack, publishCost } from './publish-cost.ts';
import { servingCost } from './serving-cost.ts';
import { copyFolder, fetchRelease, makePayloadFolder } from './source-folders.ts';

/** Two releases in a row of programs of different compilers. */
const RELEASES = [
  { name: 'esbuild', npm: '@esbuild/linux-x64', versions: ['0.28.1', '0.28.2'] },
  { name: 'rollup', npm: '@rollup/rollup-linux-x64-gnu', versions: ['4.68.6', '4.68.7'] },
] as const;
/** Hundreds of small files. */
const MANY_FILES = { name: 'zod', dir: join(import.meta.dirname, '../../../../../node_modules/zod') };
const ZSTD_MISSING = 'zstd is not installed; on Debian: sudo apt-get install zstd';
const LIBRARY_BYTES = 100_000;
/** Clients of the large package: as many bytes in all as the small one's. */
const leastClients = ({ clients, payloadBytes, largeBytes }: BuildBench) =>
  Math.max(1, Math.round((clients * payloadBytes) / largeBytes));

const NOTHING: BuildBenchResult = { rows: [], missing: [] };

export interface BuildBenchResult {
  readonly rows: readonly BenchRow[];
  /** What was not run, and why. */
  readonly missing: readonly string[];
}

export async function benchBuild(options: Omit<BuildBench, 'folder'>): Promise<BuildBenchResult> {
  const folder = await mkdtemp(join(tmpdir(), 'leonore-bench-'));
  const bench: BuildBench = { ...options, folder };
  try {
    const payloads = await payloadCosts(bench);
    const folders = bench.releases ? await folderCosts(bench) : NOTHING;
    return { rows: [...payloads.rows, ...folders.rows], missing: [...payloads.missing, ...folders.missing] };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Composing, serving and memory, over payloads that nothing compresses. */
async function payloadCosts(bench: BuildBench): Promise<BuildBenchResult> {
  const library = await packPayload(bench, 'library', LIBRARY_BYTES);
  const small = await packPayload(bench, 'small', bench.payloadBytes);
  const large = await packPayload(bench, 'large', bench.largeBytes);
  const composed = await composeCost(bench, [library.packed, small.packed], bench.runs);
  const composedLarge = await composeCost(bench, [library.packed, large.packed], 1);
  const nginx = await findNginx();
  const { clients, runs } = bench;
  const served = await servingCost(bench, small.packed, { clients, runs, nginx });
  const servedLarge = await servingCost(bench, large.packed, { clients: leastClients(bench), runs: 1 });
  const memory = (what: string, ofLarge: readonly number[], ofSmall: readonly number[]) =>
    benchRow(`peak memory to ${what} ${megabytes(bench.largeBytes)}`, 'MB', ofLarge.map(toMb), {
      baseline: { name: megabytes(bench.payloadBytes), values: ofSmall.map(toMb) },
    });
  return {
    rows: [
      ...composed.rows,
      ...served.rows,
      memory('pack', [large.peakRss], [small.peakRss]),
      memory('take in', [servedLarge.peakRss.publishing], [served.peakRss.publishing]),
      memory('compose over', composedLarge.peakRss, composed.peakRss),
      memory('serve', [servedLarge.peakRss.serving], [served.peakRss.serving]),
    ],
    missing: nginx === undefined ? [`nginx: ${NGINX_MISSING}`] : [],
  };
}

const toMb = (bytes: number): number => bytes / MB;

async function packPayload(bench: BuildBench, name: string, bytes: number) {
  const source = await makePayloadFolder(join(bench.folder, name), { name, version: '1.0.0' }, bytes);
  return await pack(source, join(bench.folder, `packed-${name}`), 'zstd', bench.signal);
}

/** Packing and deltas of what others publish. */
async function folderCosts(bench: BuildBench): Promise<BuildBenchResult> {
  if (!(await hasZstd())) return { rows: [], missing: [`pack, delta: ${ZSTD_MISSING}`] };
  const rows: BenchRow[] = [];
  const missing: string[] = [];
  if (await isThere(MANY_FILES.dir)) {
    const artifact = { name: MANY_FILES.name, version: '1.0.0' };
    const folder = await copyFolder(join(bench.folder, MANY_FILES.name), artifact, MANY_FILES.dir);
    rows.push(...(await publishCost(bench, MANY_FILES.name, folder)));
  } else {
    missing.push(`pack ${MANY_FILES.name}: it is not installed here`);
  }
  for (const { name, npm, versions } of RELEASES) {
    const what = `${name} ${versions.join(' -> ')}`;
    try {
      const fetched = versions.map((version) =>
        fetchRelease(join(bench.folder, `${name}-${version}`), { name, npm, version }, bench.signal),
      );
      const [older, newer] = (await Promise.all(fetched)) as [string, string];
      rows.push(...(await publishCost(bench, `${name} ${versions[1]}`, newer)));
      rows.push(...(await deltaCost(bench, what, older, newer)));
    } catch (error) {
      if (!isLeonoreError(error, 'server.unreachable')) throw error;
      missing.push(`delta ${what}: ${error.message}`);
    }
  }
  return { rows, missing };
}

async function hasZstd(): Promise<boolean> {
  return await promisify(execFile)('zstd', ['--version']).then(
    () => true,
    () => false,
  );
}

async function isThere(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}
