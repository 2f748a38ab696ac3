/** The files of a build as manifests list them: checked and written once, for all the packages that they go into. */
import { fileEntrySchema, type FileEntry } from '@leonore/protocol';
import { canonicalJson } from './canonical-json.ts';
import { checkFiles } from './package-rules.ts';
import type { ComponentToCompose } from './compose.ts';

export interface CheckedFiles {
  readonly name: string;
  readonly unpackedSize: number;
  readonly entries: FileEntry[];
  readonly json: string;
}

/** By the very list: who composes many packages of the same builds gives the same lists, which never change. */
export type FileMemory = WeakMap<readonly FileEntry[], CheckedFiles>;

export function checkedFiles({ name, files, unpackedSize }: ComponentToCompose, memory: FileMemory): CheckedFiles {
  const known = memory.get(files);
  if (known?.name === name && known.unpackedSize === unpackedSize) return known;
  const entries = fileEntrySchema.array().parse(files);
  checkFiles({ name, files: entries, unpackedSize });
  const checked = { name, unpackedSize, entries, json: canonicalJson(entries) };
  memory.set(files, checked);
  return checked;
}
