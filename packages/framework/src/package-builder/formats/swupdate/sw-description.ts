/** `sw-description`, by which SWUpdate knows what an image holds and which handler takes what: libconfig's syntax. Pure. */
import type { Sha256 } from '@leonore/protocol';

export interface SwDescription {
  readonly version: string;
  readonly description: string;
  /** Hardware revisions that it is for; `#RE:` begins a regular expression. */
  readonly hardware: readonly string[];
  /** Unpacked while they come in, in this order; `path` is made where it is missing. */
  readonly archives: readonly { readonly fileName: string; readonly path: string; readonly sha256: Sha256 }[];
  /** Run before anything but the archives (`preinst`) and at the end (`postinst`). */
  readonly script: { readonly fileName: string; readonly sha256: Sha256 };
}

/** SWUpdate's buffer for the values of an entry (SWUPDATE_GENERAL_STRING_SIZE), with its closing NUL. */
const MAX_VALUE = 255;

export function renderSwDescription(wanted: SwDescription): string {
  const { version, hardware, archives, script } = wanted;
  return `software = {
  version = ${quote(version)};
  description = ${quote(wanted.description)};
  hardware-compatibility = [ ${hardware.map(quote).join(', ')} ];
  files: (${archives.map(renderArchive).join(',')}
  );
  scripts: (
    { filename = ${quote(script.fileName)}; type = "shellscript"; sha256 = ${quote(script.sha256)}; }
  );
};
`;
}

function renderArchive({ fileName, path, sha256 }: SwDescription['archives'][number]): string {
  return `
    { filename = ${quote(fileName)}; type = "archive"; path = ${quote(path)}; sha256 = ${quote(sha256)};
      installed-directly = true; properties: { create-destination = "true"; }; }`;
}

/** A string of libconfig, cut to what SWUpdate keeps of it. */
function quote(text: string): string {
  const kept = text.length > MAX_VALUE ? `${text.slice(0, MAX_VALUE - 3)}...` : text;
  return `"${kept.replaceAll(/[\\"]/g, '\\$&').replaceAll(/\p{Cc}/gu, ' ')}"`;
}
