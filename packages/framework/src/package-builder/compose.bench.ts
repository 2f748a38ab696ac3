/**
 * A part of `npm run bench:build`, which starts it as a process of its own: composes packages for as many gateway classes
 * over artifacts that lie there packed, and writes what that took as one line of JSON. A package is read back and unpacked,
 * or there is no result.
 */
import assert from 'node:assert/strict';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { parseArgs } from 'node:util';
import { type PackedArtifact, unpackPackage } from '@leonore/app-package';
import { type Artifact, DEFAULT_TENANT, type InstallPlan } from '@leonore/protocol';
import { type BlobStore, openFileBlobs, openSqliteRepositories, type PackageRecord } from '../repositories/mod.ts';
import {
  type BuildRequest,
  createArchiveFormats,
  createByteCache,
  createPackageBuilder,
  type PackageBuilder,
} from './mod.ts';

const WARM_UP = 20;
const COPIES = 7;
const COMMITS = 100;
const MIB = 2 ** 20;

/** The same plan for another class of gateways, so another package. */
function requestFor(number: number, artifacts: readonly Artifact[]): BuildRequest {
  const steps: InstallPlan['steps'] = artifacts.map(({ manifest, contentSha256 }, index) => ({
    action: 'install',
    name: manifest.name,
    version: manifest.version,
    platform: manifest.platform,
    contentSha256,
    requested: index === artifacts.length - 1,
    because: 'requested',
    after: artifacts.slice(0, index).map((one) => one.manifest.name),
  }));
  return {
    platform: { os: 'linux', arch: `machine-${number}` },
    formats: ['tar.zst'],
    plan: { steps, remove: [] },
    artifact: (step) => artifacts.find(({ manifest }) => manifest.name === step.name),
  };
}

/** Puts the segments into the blob store as an upload does. */
async function upload(blobs: BlobStore, packed: readonly PackedArtifact[]): Promise<void> {
  for (const { sha256, size, file } of packed.flatMap(({ segments }) => segments)) {
    await blobs.openUpload(sha256, size);
    await blobs.appendUpload(sha256, 0, createReadStream(file));
  }
}

const artifactOf = ({ manifest, contentSha256, unpackedSize, files, segments }: PackedArtifact): Artifact => ({
  manifest,
  contentSha256,
  unpackedSize,
  fileCount: files.length,
  segments: segments.map(({ encoding, sha256, size }) => ({ encoding, sha256, size })),
  publishedAt: 0,
});

async function blobBytes(blobs: BlobStore): Promise<number> {
  let bytes = 0;
  for await (const { size } of blobs.list()) bytes += size;
  return bytes;
}

/** Milliseconds to write a package as a file of its own, synced as a blob store must; the middle of several. */
async function copyMs(builder: PackageBuilder, record: PackageRecord, folder: string): Promise<number> {
  const times: number[] = [];
  for (let copy = 0; copy < COPIES; copy++) {
    const file = join(folder, `copy-${copy}`);
    const begun = performance.now();
    await pipeline(builder.read(record), createWriteStream(file, { flush: true }));
    times.push(performance.now() - begun);
    await rm(file);
  }
  return times.toSorted((a, b) => a - b)[COPIES >> 1] ?? Number.NaN;
}

/** @throws unless it can be unpacked, every digest right, and holds the files that were packed */
async function check(
  builder: PackageBuilder,
  record: PackageRecord,
  packed: readonly PackedArtifact[],
  folder: string,
) {
  const { headerSize, sha256, size } = record.summary;
  const into = join(folder, 'unpacked');
  const options = { into, encoding: 'zstd', headerSize, headerSha256: sha256, size, durable: false } as const;
  const manifest = await unpackPackage(builder.read(record), options);
  const found = manifest.components.flatMap(({ files }) => files);
  assert.deepEqual(
    found,
    packed.flatMap(({ files }) => files),
  );
  await rm(into, { recursive: true });
}

async function main(packedFile: string, packages: number): Promise<object> {
  const packed = JSON.parse(await readFile(packedFile, 'utf8')) as PackedArtifact[];
  const folder = await mkdtemp(join(tmpdir(), 'leonore-compose-'));
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const database = join(folder, 'leonore.db');
  const blobs = stack.use(await openFileBlobs({ dir: join(folder, 'blobs') }));
  await upload(blobs, packed);
  const artifacts = packed.map(artifactOf);
  {
    await using repositories = await openSqliteRepositories({ file: database });
    await repositories.write(async (tx) => {
      for (const [index, artifact] of artifacts.entries())
        await tx.artifacts.insert(DEFAULT_TENANT, artifact, packed[index]?.files ?? []);
    });
  }
  const before = { database: (await stat(database)).size, blobs: await blobBytes(blobs) };
  const repositories = await openSqliteRepositories({ file: database });
  await using closing = new AsyncDisposableStack();
  closing.use(repositories);
  const cache = createByteCache({ maxBytes: 64 * MIB, maxItemBytes: 24 * MIB });
  const formats = createArchiveFormats();
  const builder = createPackageBuilder({ repositories, blobs, cache, now: Date.now, formats });
  const build = (number: number) => builder.build(DEFAULT_TENANT, requestFor(number, artifacts));

  const ids = new Set<string>();
  let last = (await build(0)).summary.id;
  for (let number = 0; number < WARM_UP; number++) ids.add((await build(number)).summary.id);
  const eachMs: number[] = [];
  for (let number = WARM_UP; number < WARM_UP + packages; number++) {
    const begun = performance.now();
    const { summary } = await build(number);
    eachMs.push(performance.now() - begun);
    ids.add(summary.id);
    last = summary.id;
  }
  const commitMs: number[] = [];
  for (let at = 1; at <= COMMITS; at++) {
    const begun = performance.now();
    await repositories.write((tx) => tx.packages.use(DEFAULT_TENANT, [last], Date.now() + at, 0));
    commitMs.push(performance.now() - begun);
  }
  const begun = performance.now();
  const first = WARM_UP + packages;
  const together = await Promise.all(Array.from({ length: packages }, (_, index) => build(first + index)));
  const togetherMs = (performance.now() - begun) / packages;
  const peakRss = process.resourceUsage().maxRSS * 1024;
  for (const { summary } of together) ids.add(summary.id);
  assert.equal(ids.size, WARM_UP + 2 * packages, 'every class has a package of its own');

  const [record] = together;
  assert.ok(record);
  await check(builder, record, packed, folder);
  const copied = await copyMs(builder, record, folder);
  const grown = (await blobBytes(blobs)) - before.blobs;
  await closing.disposeAsync();
  return {
    packageBytes: record.summary.size,
    headerBytes: record.summary.headerSize,
    eachMs,
    commitMs,
    togetherMs,
    copyMs: copied,
    blobBytesGrown: grown,
    databaseBytesPerPackage: ((await stat(database)).size - before.database) / ids.size,
    peakRss,
  };
}

const { values } = parseArgs({
  options: { packed: { type: 'string' }, packages: { type: 'string', default: '1000' } },
});
if (values.packed === undefined) throw new Error('--packed FILE: a JSON list of what packArtifact gave');
process.stdout.write(`${JSON.stringify(await main(values.packed, Number(values.packages)))}\n`);
