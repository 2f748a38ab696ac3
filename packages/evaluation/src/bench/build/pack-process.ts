/** A process of its own that packs an artifact's folder: `pack-process.ts FOLDER OUT-FOLDER ENCODING`. Writes a PackRun as JSON. */
import { type PackedArtifact, packArtifact } from '@leonore/app-package';
import { encodingSchema } from '@leonore/protocol';

export interface PackRun {
  readonly packed: PackedArtifact;
  readonly ms: number;
  /** Bytes of the process's memory at its highest. */
  readonly peakRss: number;
}

const [folder = '', outDir = '', encoding] = process.argv.slice(2);
const encodings = [encodingSchema.parse(encoding)];
const begun = performance.now();
const packed = await packArtifact(folder, { outDir, encodings });
const ms = performance.now() - begun;
// The kernel's figure, kibibytes: no sample in between can miss the peak.
const peakRss = process.resourceUsage().maxRSS * 1024;
process.stdout.write(JSON.stringify({ packed, ms, peakRss } satisfies PackRun));
