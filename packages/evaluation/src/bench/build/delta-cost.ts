/** A delta between two real releases beside the whole segment, and beside `zstd --patch-from` of the same tars at the same level. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { zstdDecompressSync } from 'node:zlib';
import { applyDelta, makeDelta } from '@leonore/app-package';
import { type BenchRow, benchRow } from '../report.ts';
import { type BuildBench, MB, timed } from './bench-context.ts';
import { pack } from './publish-cost.ts';

const TOOL = 'zstd -19 --patch-from';

interface Build {
  readonly tar: Buffer;
  readonly file: string;
  readonly contentSha256: string;
  readonly segmentBytes: number;
}

export async function deltaCost(bench: BuildBench, what: string, oldFolder: string, newFolder: string) {
  const folder = join(bench.folder, `delta ${what}`);
  await mkdir(folder);
  const from = await packedBuild(oldFolder, join(folder, 'old'), bench.signal);
  const to = await packedBuild(newFolder, join(folder, 'new'), bench.signal);
  const ours = { make: [] as number[], apply: [] as number[], bytes: 0 };
  const theirs = { make: [] as number[], apply: [] as number[], bytes: 0 };
  const patch = join(folder, 'patch');
  const zstd = (...args: string[]) =>
    promisify(execFile)('zstd', ['-q', '-f', `--patch-from=${from.file}`, ...args], { signal: bench.signal });
  for (let number = 0; number < bench.runs; number++) {
    let delta: Uint8Array = Buffer.alloc(0);
    ours.make.push(await timed(() => Promise.resolve((delta = makeDelta(from.tar, to.tar)))));
    ours.bytes = delta.length;
    const pieces: Uint8Array[] = [];
    ours.apply.push(
      await timed(async () => {
        for await (const piece of applyDelta(piecewise(delta), from.tar, { maxBytes: to.tar.length }))
          pieces.push(piece);
      }),
    );
    assert.equal(digestOf(pieces), to.contentSha256, `the delta of ${what} does not make the new tar`);
    theirs.make.push(await timed(() => zstd('-19', to.file, '-o', patch)));
    theirs.bytes = (await stat(patch)).size;
    theirs.apply.push(await timed(() => zstd('-d', '--long=31', patch, '-o', join(folder, 'patched'))));
    assert.equal(digestOf([await readFile(join(folder, 'patched'))]), to.contentSha256);
    bench.say(`delta ${what}: run ${number + 1} of ${bench.runs}`);
  }
  return rowsOf(what, to, ours, theirs);
}

interface Cost {
  /** Milliseconds of each run. */
  readonly make: readonly number[];
  readonly apply: readonly number[];
  readonly bytes: number;
}

function rowsOf(what: string, to: Build, ours: Cost, theirs: Cost): BenchRow[] {
  const seconds = (values: readonly number[]) => values.map((ms) => ms / 1000);
  const row = (name: string, unit: string, values: readonly number[], baseline: readonly number[], by = TOOL) =>
    benchRow(`delta ${what}: ${name}`, unit, values, { baseline: { name: by, values: baseline } });
  return [
    row('over the air', 'MB', [ours.bytes / MB], [to.segmentBytes / MB], 'zstd segment'),
    row('bytes', 'MB', [ours.bytes / MB], [theirs.bytes / MB]),
    row('to make it', 's', seconds(ours.make), seconds(theirs.make)),
    row('to apply it', 's', seconds(ours.apply), seconds(theirs.apply)),
  ];
}

async function packedBuild(source: string, outDir: string, signal: AbortSignal): Promise<Build> {
  const { packed } = await pack(source, outDir, 'zstd', signal);
  const [segment] = packed.segments;
  assert.ok(segment);
  const tar = zstdDecompressSync(await readFile(segment.file));
  const file = `${outDir}.tar`;
  await writeFile(file, tar);
  return { tar, file, contentSha256: packed.contentSha256, segmentBytes: segment.size };
}

function digestOf(pieces: readonly Uint8Array[]): string {
  const hash = createHash('sha256');
  for (const piece of pieces) hash.update(piece);
  return hash.digest('hex');
}

const PIECE = 65_536;

async function* piecewise(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += PIECE) yield bytes.subarray(at, at + PIECE);
}
