/**
 * Which names an entry may have. One rule for all sides: what cannot be read is never packed. Stricter than Linux, so
 * that a tree means the same on every file system and a name never steers a terminal or a line-based text file.
 */
import type { ArtifactName } from '@leonore/protocol';

/** Of a whole path, UTF-8. */
export const MAX_PATH_BYTES = 1024;
/** Of a part between two slashes: NAME_MAX of Linux. */
const MAX_PART_BYTES = 255;

/** What is wrong with an entry's path (without a folder's trailing slash), to be read after its name; undefined when it is fine. */
export function pathFault(path: string): string | undefined {
  if (path === '') return 'has no name';
  if (path.startsWith('/')) return 'is an absolute path';
  if (path.includes('\0')) return 'has a NUL character in its name';
  if (/\p{Cc}/u.test(path)) return 'has a control character in its name';
  if (path.includes('\\')) return 'has a backslash in its name';
  if (!path.isWellFormed() || path.includes('\uFFFD')) return 'has a name that is not UTF-8';
  const parts = path.split('/');
  if (parts.some((part) => part === '.' || part === '..')) return 'has a "." or ".." part in its path';
  if (parts.includes('')) return 'has an empty part in its path';
  if (parts.some((part) => Buffer.byteLength(part) > MAX_PART_BYTES)) {
    return `has a name of more than ${MAX_PART_BYTES} bytes`;
  }
  if (Buffer.byteLength(path) > MAX_PATH_BYTES) return `has a path of more than ${MAX_PATH_BYTES} bytes`;
  return undefined;
}

/** The two folders of a component in a package; everything of it lies in them. */
export function componentRoots(name: ArtifactName): readonly [binary: string, control: string] {
  return [`binary/${name}`, `control/${name}`];
}

export function liesIn(path: string, folders: readonly string[]): boolean {
  return folders.some((folder) => path.startsWith(`${folder}/`));
}

/** Equal for names that a file system without upper and lower case takes for the same. */
export function foldedPath(path: string): string {
  return path.normalize('NFC').toLowerCase();
}
