/** The three files of a package's header, as text. `id` and `path` are plain lines, so that a shell can work from them. */
import type { PackageManifest } from '@leonore/protocol';
import { canonicalJson } from './canonical-json.ts';

/** In the order of the header's tar. */
export const HEADER_FILES = ['id', 'path', 'manifest.json'] as const;
export type HeaderFile = (typeof HEADER_FILES)[number];

/** `written`: as for `canonicalJson`. */
export function headerTexts(
  manifest: PackageManifest,
  written?: (part: object) => string | undefined,
): Record<HeaderFile, string> {
  return { id: idFile(manifest), path: pathFile(manifest), 'manifest.json': `${canonicalJson(manifest, written)}\n` };
}

export function idFile(manifest: PackageManifest): string {
  return `${manifest.id}\n`;
}

/** A line for each component in install order: NAME TAB VERSION TAB INSTALL-PATH, the last empty where the container chooses. */
export function pathFile(manifest: PackageManifest): string {
  return manifest.components.map((c) => `${c.name}\t${c.version}\t${c.installPath ?? ''}\n`).join('');
}
