/** What a publisher waits for: packing a real folder beside `tar | gzip` and `tar | zstd` of the same folder at the same level. */
import { execFile } from 'node:child_process';
import { mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Encoding } from '@leonore/protocol';
import { type BenchRow, benchRow } from '../report.ts';
import { type BuildBench, MB, timed } from './bench-context.ts';
import type { PackRun } from './pack-process.ts';
import { runJson } from './run-json.ts';

const PACK = join(import.meta.dirname, 'pack-process.ts');
/** The levels that LEONORE packs with. */
const TOOLS = { gzip: 'gzip -9', zstd: 'zstd -q -12' } as const satisfies Record<Encoding, string>;

export function pack(folder: string, outDir: string, encoding: Encoding, signal: AbortSignal): Promise<PackRun> {
  return runJson<PackRun>(PACK, [folder, outDir, encoding], signal);
}

/** Rows for one folder, named `what`. */
export async function publishCost(bench: BuildBench, what: string, folder: string): Promise<BenchRow[]> {
  const out = join(bench.folder, `packed ${what}`);
  await mkdir(out);
  const rows: BenchRow[] = [];
  for (const encoding of ['gzip', 'zstd'] as const) {
    const ours = { seconds: [] as number[], bytes: 0 };
    const theirs = { seconds: [] as number[], bytes: 0 };
    for (let number = 0; number < bench.runs; number++) {
      const { ms, packed } = await pack(folder, out, encoding, bench.signal);
      ours.seconds.push(ms / 1000);
      ours.bytes = packed.segments[0]?.size ?? Number.NaN;
      const file = join(out, `tool.${encoding}`);
      const pipe = `set -o pipefail; tar -C "$0" -cf - binary | ${TOOLS[encoding]} > "$1"`;
      const toolMs = await timed(() =>
        promisify(execFile)('bash', ['-c', pipe, folder, file], { signal: bench.signal }),
      );
      theirs.seconds.push(toolMs / 1000);
      theirs.bytes = (await stat(file)).size;
    }
    const name = `tar | ${TOOLS[encoding].replace(' -q', '')}`;
    const row = (unit: string, values: readonly number[], baseline: readonly number[]) =>
      benchRow(`pack ${what}, ${encoding}`, unit, values, { baseline: { name, values: baseline } });
    rows.push(row('s', ours.seconds, theirs.seconds), row('MB', [ours.bytes / MB], [theirs.bytes / MB]));
    bench.say(`packed ${what} as ${encoding}`);
  }
  return rows;
}
