/**
 * Decides which entries pass, one after another, in the order of the archive. Pure: no I/O. The rules:
 *   - the path is a safe one (entry-path.ts) and lies in the folders of its component;
 *   - entries are sorted by the bytes of their names, so none comes twice;
 *   - the folder of an entry came before it, as a folder;
 *   - no two names differ only in upper and lower case;
 *   - the budget is kept.
 */
import { hostile, quoted } from './archive-fault.ts';
import type { EntryBudget } from './archive-limits.ts';
import { foldedPath, liesIn, pathFault } from './entry-path.ts';
import { entryName, type TarEntry } from './tar-writer.ts';

/** @throws LeonoreError `archive.hostile` naming the entry that does not pass. */
export type EntryGate = (entry: TarEntry) => void;

/** `roots`: the folders that everything lies in, and that need no parent. */
export function createEntryGate(roots: readonly string[], budget: EntryBudget): EntryGate {
  const passed = new Map<string, TarEntry>();
  let previous = Buffer.alloc(0);

  return (entry) => {
    const { path } = entry;
    const shown = quoted(path);
    const fault = pathFault(path);
    if (fault) throw hostile(shown, fault);
    const isRoot = roots.includes(path);
    if (!isRoot && !liesIn(path, roots)) throw hostile(shown, `lies outside of ${roots.join(' and ')}`);
    if (isRoot && entry.type === 'file') throw hostile(shown, 'is a file where a folder must be');

    const folded = foldedPath(path);
    const twin = passed.get(folded);
    if (twin?.path === path) throw hostile(shown, 'is there twice');
    if (twin)
      throw hostile(shown, `differs from ${quoted(twin.path)} only in upper and lower case; rename one of them`);
    if (!isRoot) checkParent(entry, passed, shown);

    const name = Buffer.from(entryName(entry));
    if (Buffer.compare(previous, name) >= 0) throw hostile(shown, 'is not in the order of names');
    previous = name;
    budget.spend(entry);
    passed.set(folded, entry);
  };
}

function checkParent({ path }: TarEntry, passed: ReadonlyMap<string, TarEntry>, shown: string): void {
  const parentPath = path.slice(0, path.lastIndexOf('/'));
  const parent = passed.get(foldedPath(parentPath));
  if (parent?.path !== parentPath) throw hostile(shown, `comes without its folder ${quoted(parentPath)}`);
  if (parent.type === 'file') throw hostile(shown, `lies in ${quoted(parentPath)}, which is a file`);
}
