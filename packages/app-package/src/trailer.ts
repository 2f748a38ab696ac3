/**
 * The trailer of a package: the two empty blocks that end a tar, compressed once and for all. Being constant it needs no
 * digest: a reader compares the bytes.
 */
import type { Encoding } from '@leonore/protocol';

export const PACKAGE_TRAILER: Readonly<Record<Encoding, Buffer>> = {
  gzip: Buffer.from('1f8b08000000000002ff63601805a360148c5400002eafb5ef00040000', 'hex'),
  zstd: Buffer.from('28b52ffd60000345000008000100fc2b2004', 'hex'),
};
