/**
 * A node in a process of its own that takes a build in, composes a package of it and serves that to many clients at once,
 * beside nginx serving the same bytes to as many; and what memory the node needs for it.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { PackedArtifact } from '@leonore/app-package';
import { type Client, createClient } from '@leonore/client';
import { LeonoreError, type PackageDetails } from '@leonore/protocol';
import { startNginx } from '../nginx.ts';
import { type NodeProcess, startNodeProcess } from '../node-process.ts';
import { familyUsage, processUsage, resetPeakMemory } from '../process-usage.ts';
import { type BenchRow, benchRow } from '../report.ts';
import { type BuildBench, megabytes } from './bench-context.ts';
import { type Download, downloadByMany } from './many-downloads.ts';

const COMPOSE_TIMEOUT_MS = 30_000;

export interface ServingCost {
  readonly rows: BenchRow[];
  /** Bytes of the node's memory at its highest. */
  readonly peakRss: { readonly publishing: number; readonly serving: number };
}

/** `nginx`: where it is, to be measured beside. */
export async function servingCost(
  bench: BuildBench,
  packed: PackedArtifact,
  options: { readonly clients: number; readonly runs: number; readonly nginx?: string | undefined },
): Promise<ServingCost> {
  const { folder, signal, say } = bench;
  const { name } = packed.manifest;
  await using node = await startNodeProcess(join(folder, `node-${name}`), join(folder, `node-${name}.log`), signal);
  const client = createClient({ baseUrl: node.httpUrl, token: node.adminToken });
  const publishing = await peakMemory(node, () => publish(client, packed, signal));
  const details = await composeOne(client, name, signal);
  const expected = await fetchPackage(client, details, signal);
  const ours: Download = {
    url: `${node.httpUrl}/packages/${details.sha256}`,
    headers: { authorization: `Bearer ${node.adminToken}` },
    expected,
  };
  const run = (download: Download, pid: number) => serveOnce(download, pid, options.clients, signal);
  const served: Served[] = [];
  const floor: Served[] = [];
  await using stack = new AsyncDisposableStack();
  const files = { poll: '', deployment: '', package: expected };
  const nginx = options.nginx && stack.use(await startNginx(options.nginx, () => files, signal));
  const serving = await peakMemory(node, async () => {
    for (let number = 0; number < options.runs; number++) {
      served.push(await run(ours, node.pid));
      if (nginx) floor.push(await run({ url: `${nginx.url}/package`, expected }, nginx.pid));
    }
  });
  say(`served ${megabytes(expected.length)} to ${options.clients} clients`);
  return { rows: rowsOf(expected.length, options.clients, served, floor), peakRss: { publishing, serving } };
}

interface Served {
  readonly seconds: number;
  readonly cpuSeconds: number;
}

async function serveOnce(download: Download, pid: number, clients: number, signal: AbortSignal): Promise<Served> {
  const before = await familyUsage(pid);
  const ms = await downloadByMany(download, clients, signal);
  const after = await familyUsage(pid);
  return { seconds: ms / 1000, cpuSeconds: (after?.cpuSeconds ?? 0) - (before?.cpuSeconds ?? 0) };
}

function rowsOf(bytes: number, clients: number, served: readonly Served[], floor: readonly Served[]): BenchRow[] {
  const what = `serve ${megabytes(bytes)} to ${clients} clients`;
  const row = (name: string, of: (one: Served) => number) =>
    benchRow(`${what}: ${name}`, 's', served.map(of), { baseline: { name: 'nginx', values: floor.map(of) } });
  return [row('until the last has all', ({ seconds }) => seconds), row('server CPU', ({ cpuSeconds }) => cpuSeconds)];
}

async function peakMemory(node: NodeProcess, work: () => Promise<unknown>): Promise<number> {
  await resetPeakMemory(node.pid);
  await work();
  const usage = await processUsage(node.pid);
  if (!usage) throw new LeonoreError('config.invalid', 'this benchmark reads /proc, so it runs on Linux only');
  return usage.peakRssBytes;
}

async function publish(client: Client, { manifest, segments }: PackedArtifact, signal: AbortSignal): Promise<void> {
  for (const { file, sha256, size } of segments) await client.uploadFile(file, sha256, size, { signal });
  const named = segments.map(({ encoding, sha256, size }) => ({ encoding, sha256, size }));
  await client.artifacts.publish({ manifest, segments: named }, { signal });
}

/** The package of a rollout to a gateway that never comes. */
async function composeOne(client: Client, name: string, signal: AbortSignal): Promise<PackageDetails> {
  await client.gateways.create({ id: 'bench', profile: { encodings: ['zstd'] } }, { signal });
  await client.rollouts.create({ applications: [{ name }], selector: '*' }, { signal });
  const until = performance.now() + COMPOSE_TIMEOUT_MS;
  while (performance.now() < until) {
    const [found] = (await client.packages.list({ signal })).items;
    if (found) return await client.packages.get(found.id, { signal });
    await delay(20, undefined, { signal });
  }
  throw new LeonoreError('package.unknown', `no package was composed within ${COMPOSE_TIMEOUT_MS / 1000} s`);
}

/** Its bytes, each of them under a digest that was checked but for the trailer's. */
async function fetchPackage(client: Client, details: PackageDetails, signal: AbortSignal): Promise<Buffer> {
  const answer = await client.packages.download(details.sha256, {}, { signal });
  const bytes = Buffer.from(await answer.arrayBuffer());
  const { headerSize, manifest } = details;
  assert.equal(bytes.length, details.size);
  assert.equal(digestOf(bytes.subarray(0, headerSize)), details.sha256);
  for (const { segment } of manifest.components) {
    const start = headerSize + segment.offset;
    assert.equal(digestOf(bytes.subarray(start, start + segment.length)), segment.sha256);
  }
  return bytes;
}

const digestOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
