/** For tests: trees of files as values, random ones too, written to disk and read back. */
import { createHash } from 'node:crypto';
import { chmod, lstat, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import fc from 'fast-check';
import { foldedPath } from '../entry-path.ts';

/** Path without leading slash -> `null` for a folder, else what the file is. */
export type Tree = ReadonlyMap<string, null | { readonly content: Buffer; readonly executable: boolean }>;

/** A folder for the tests of one file, removed when they are done. */
export function testFolder(): () => Promise<string> {
  const made: string[] = [];
  after(() => Promise.all(made.map((dir) => rm(dir, { recursive: true, force: true }))));
  return async () => {
    const dir = await mkdtemp(join(tmpdir(), 'leonore-app-package-'));
    made.push(dir);
    return dir;
  };
}

export async function writeTree(
  dir: string,
  tree: Iterable<[string, Tree extends ReadonlyMap<string, infer V> ? V : never]>,
): Promise<void> {
  await mkdir(dir, { recursive: true });
  for (const [path, node] of tree) {
    const target = join(dir, path);
    await mkdir(node ? join(target, '..') : target, { recursive: true });
    if (!node) continue;
    await writeFile(target, node.content);
    await chmod(target, node.executable ? 0o755 : 0o644);
  }
}

/** Content in a few characters. */
export function brief(content: Buffer): string {
  return `${content.length} ${createHash('sha256').update(content).digest('hex').slice(0, 16)}`;
}

/** Everything below `dir` as lines: kind, mode, path, content. Anything but files and folders shows as `other`. */
export async function describeTree(dir: string): Promise<string[]> {
  const lines: string[] = [];
  async function walk(path: string): Promise<void> {
    for (const name of await readdir(join(dir, path))) {
      const child = path === '' ? name : `${path}/${name}`;
      const stats = await lstat(join(dir, child));
      const mode = (stats.mode & 0o7777).toString(8);
      if (stats.isDirectory()) {
        lines.push(`folder ${mode} ${child}`);
        await walk(child);
      } else if (stats.isFile()) {
        lines.push(`file ${mode} ${child} ${brief(await readFile(join(dir, child)))}`);
      } else {
        lines.push(`other ${mode} ${child}`);
      }
    }
  }
  await walk('');
  return lines.toSorted();
}

/** How `tree` below `prefix` must look when it is unpacked, in the words of `describeTree`. */
export function expectedLines(tree: Tree, prefix: string): string[] {
  const lines = [...tree].map(([path, node]) =>
    node
      ? `file ${node.executable ? 755 : 644} ${prefix}${path} ${brief(node.content)}`
      : `folder 755 ${prefix}${path}`,
  );
  return lines.toSorted();
}

const NAME_CHARACTERS = 'abcXYZ019 ._-+@=,:;()[]{}!#$%&\'"*?<>|~^`äßø漢字😀'.split(/(?:)/u);
const name = fc.oneof(
  { weight: 6, arbitrary: fc.string({ unit: fc.constantFrom(...NAME_CHARACTERS), minLength: 1, maxLength: 12 }) },
  { weight: 1, arbitrary: fc.integer({ min: 60, max: 200 }).map((length) => 'n'.repeat(length)) },
  { weight: 1, arbitrary: fc.integer({ min: 30, max: 80 }).map((length) => 'ø'.repeat(length)) },
);
const content = fc.oneof(
  fc.uint8Array({ maxLength: 100 }),
  fc.constantFrom(0, 1, 511, 512, 513, 1024, 70_000).map((length) => new Uint8Array(length).fill(0x61)),
);
const file = fc.record({ content: content.map((bytes) => Buffer.from(bytes)), executable: fc.boolean() });

/** Trees that may be packed: safe names, unique whatever the case, folders of files with all their parents. */
export const packableTree: fc.Arbitrary<Tree> = fc
  .array(fc.tuple(fc.array(name, { minLength: 1, maxLength: 4 }), fc.option(file, { freq: 4 })), { maxLength: 12 })
  .map((drafts) => {
    const tree = new Map<string, null | { content: Buffer; executable: boolean }>();
    const folded = new Map<string, string>();
    for (const [parts, node] of drafts) {
      if (parts.some((part) => part === '.' || part === '..')) continue;
      const paths = parts.map((_, depth) => parts.slice(0, depth + 1).join('/'));
      const isFree = paths.every((path, depth) => {
        const known = folded.get(foldedPath(path));
        if (known === undefined) return true;
        return known === path && depth < paths.length - 1 && tree.get(path) === null;
      });
      if (!isFree || Buffer.byteLength(parts.join('/')) > 900) continue;
      for (const [depth, path] of paths.entries()) {
        folded.set(foldedPath(path), path);
        if (depth < paths.length - 1) tree.set(path, null);
        else tree.set(path, node);
      }
    }
    return tree;
  });
