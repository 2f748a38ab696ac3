/** Folders that have to be there. */
import { mkdir, stat } from 'node:fs/promises';

/** Makes it with those above it. A disk that takes nothing may refuse that also where nothing is to be made, and is right then. */
export async function ensureFolder(path: string, options: { readonly mode?: number } = {}): Promise<void> {
  try {
    await mkdir(path, { ...options, recursive: true });
  } catch (error) {
    const there = await stat(path).catch(() => undefined);
    if (!there?.isDirectory()) throw error;
  }
}
