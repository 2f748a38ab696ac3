/** A package format: how the components of a plan become one file. A folder for each; this is what they have in common. */
import {
  LeonoreError,
  type Artifact,
  type Encoding,
  type FileEntry,
  type InstallPlan,
  type KeptComponent,
  type PackageContents,
  type PackageFormat,
  type PackageId,
  type PlanStep,
  type Platform,
  type Sha256,
} from '@leonore/protocol';
import type { GatewayRecord, PackagePart } from '../../repositories/mod.ts';

/** What the plan brings, with its build and the build's files. */
export interface Component {
  readonly step: PlanStep;
  readonly artifact: Artifact;
  readonly files: readonly FileEntry[];
}

export interface FormatInput {
  readonly gatewayClass: { readonly id: string; readonly platform: Platform };
  /** In install order. */
  readonly components: readonly Component[];
  readonly keep: readonly KeptComponent[];
  readonly remove: readonly Pick<InstallPlan['remove'][number], 'name' | 'version'>[];
}

/** A package as a format made it: its own bytes, and where those of others go in between. */
export interface Composition {
  readonly id: PackageId;
  readonly fileName: string;
  /** Names the package. */
  readonly sha256: Sha256;
  readonly encoding?: Encoding;
  readonly manifest: PackageContents;
  /** What the own parts consist of, one after another. */
  readonly own: Uint8Array;
  readonly parts: readonly PackagePart[];
  /** Bytes that no other package shares. */
  readonly headerSize: number;
  readonly size: number;
}

export interface Format {
  readonly format: PackageFormat;
  /** Why it cannot carry this, in words; undefined when it can. */
  refusal(input: FormatInput): string | undefined;
  /** Cheap. The same input, the same id; another format or another input, another. */
  id(input: FormatInput): PackageId;
  /** Costs what is the package's own; no payload is read. */
  compose(input: FormatInput): Composition | Promise<Composition>;
}

/** What the gateway installs, best first. Gateways of other makers also take an image, where there is one; LEONORE's own never. */
export function packageFormatsOf({
  profile,
  origin,
}: Pick<GatewayRecord, 'profile' | 'origin'>): readonly PackageFormat[] {
  const archives = profile.encodings.map((encoding) => (encoding === 'gzip' ? 'tar.gz' : 'tar.zst'));
  if (origin !== 'enrolled') return profile.formats ?? [...archives, 'image'];
  return profile.formats?.filter((format) => format.startsWith('tar.')) ?? archives;
}

/**
 * The first of the accepted formats that can carry the input.
 * @throws LeonoreError `package.format`, saying of each why it cannot
 */
export function chooseFormat(
  formats: readonly Format[],
  accepted: readonly PackageFormat[],
  input: FormatInput,
): Format {
  const reasons: string[] = [];
  for (const name of accepted) {
    const format = formats.find((one) => one.format === name);
    const reason = format ? format.refusal(input) : 'this node makes none';
    if (format && reason === undefined) return format;
    reasons.push(`${name}: ${reason}`);
  }
  throw new LeonoreError(
    'package.format',
    reasons.length > 0
      ? `no format that these gateways install can carry this; ${reasons.join('; ')}`
      : 'these gateways name no format that they install; their profile must say "encodings" or "formats"',
  );
}
