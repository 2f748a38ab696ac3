/** Every format that a node makes packages in. */
import { installPathSchema, LeonoreError } from '@leonore/protocol';
import { createArchiveFormats } from './archive/archive-format.ts';
import { createImageFormat } from './image/image-format.ts';
import type { Format } from './mod.ts';
import { loadSwuSigner } from './swupdate/signer.ts';
import { ANY_HARDWARE, createSwupdateFormat, DEFAULT_SWU_ROOT } from './swupdate/swupdate-format.ts';

/** How images for SWUpdate are made; without key and certificate none are. */
export interface SwupdateOptions {
  /** PEM: RSA or EC P-256, not encrypted. */
  readonly keyFile?: string | undefined;
  /** PEM: the key's certificate, then those that lead to the authority. */
  readonly certFile?: string | undefined;
  /** LEONORE's folder on these gateways; by default /var/lib/leonore. */
  readonly root?: string | undefined;
  /** SWUpdate's `hardware-compatibility`; by default any. */
  readonly hardware?: readonly string[] | undefined;
}

/** A folder's path goes into a shell script, a unit of systemd and a buffer of 255 bytes. */
const ROOT = /^(\/[A-Za-z0-9._-]+)+$/;
const MAX_ROOT = 80;

/** @throws LeonoreError `config.invalid` when the key, the certificate or the folder does not fit */
export async function createFormats(
  swupdate: SwupdateOptions,
  { now }: { now: () => number },
): Promise<readonly Format[]> {
  const { keyFile, certFile, root = DEFAULT_SWU_ROOT, hardware = [ANY_HARDWARE] } = swupdate;
  if ((keyFile === undefined) !== (certFile === undefined)) {
    throw new LeonoreError(
      'config.invalid',
      `images for SWUpdate are signed with a key and its certificate; give ${keyFile === undefined ? '--swu-key' : '--swu-cert'} as well`,
    );
  }
  if (root.length > MAX_ROOT || !ROOT.test(root) || !installPathSchema.safeParse(root).success) {
    throw new LeonoreError(
      'config.invalid',
      `--swu-root "${root}" is no folder for gateways; it is an absolute path of at most ${MAX_ROOT} letters, digits, ".", "_", "-" and "/", such as ${DEFAULT_SWU_ROOT}`,
    );
  }
  const signer =
    keyFile === undefined || certFile === undefined
      ? undefined
      : await loadSwuSigner({ key: keyFile, cert: certFile }, now);
  return [...createArchiveFormats(), createSwupdateFormat({ signer, root, hardware, now }), createImageFormat()];
}
