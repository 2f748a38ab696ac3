/**
 * Delta segments: the way to a build's tar from the tar of the build that is installed. A task's document offers them
 * beside the package, which stays whole: who cannot use one takes the segment from the package instead.
 */
import { z } from 'zod';
import { artifactNameSchema, sha256Schema } from './ids.ts';

/** `zstd`: one zstd frame (RFC 8878) with the old tar as its dictionary, as `zstd --patch-from` makes it. */
export const deltaKindSchema = z.enum(['zstd']).meta({ id: 'DeltaKind' });
export type DeltaKind = z.infer<typeof deltaKindSchema>;

/** Untrusted: what comes out of it is checked against the `contentSha256` of the package's manifest. */
export const deltaOfferSchema = z.object({
  kind: deltaKindSchema,
  /** The package's component that it makes. */
  name: artifactNameSchema,
  /** `contentSha256` of the build it starts from. */
  from: sha256Schema,
  /** Of the delta's own bytes. */
  sha256: sha256Schema,
  /** Bytes over the air. */
  size: z.int().min(1),
  /** Bytes of the old and of the new tar: both lie in memory while it is applied. */
  fromSize: z.int().min(1),
  toSize: z.int().min(1),
  href: z.string().max(2048),
});
export type DeltaOffer = z.infer<typeof deltaOfferSchema>;

/** As they stand in the chunk's metadata (`leonore.deltas`), in JSON. */
export const deltaOffersSchema = z.array(deltaOfferSchema).max(500);
