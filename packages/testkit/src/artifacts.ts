/** Small artifacts for tests, written as a publisher would write them. */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

export interface ArtifactFiles {
  /** `leonore.yaml`, as an object (JSON is YAML) or as text. */
  readonly manifest: Readonly<Record<string, unknown>> | string;
  /** Relative to `binary/`. */
  readonly binary?: Readonly<Record<string, string | Uint8Array>>;
  /** Relative to `image/`: an image's one file. */
  readonly image?: Readonly<Record<string, string | Uint8Array>>;
  /** Names of control scripts with their text; a `#!/bin/sh` line is put before it. */
  readonly control?: Readonly<Record<string, string>>;
}

/** Writes the artifact's folder and gives its path. */
export async function writeArtifact(dir: string, files: ArtifactFiles): Promise<string> {
  const write = async (path: string, content: string | Uint8Array, mode: number) => {
    await mkdir(dirname(join(dir, path)), { recursive: true });
    await writeFile(join(dir, path), content, { mode });
  };
  const manifest =
    typeof files.manifest === 'string' ? files.manifest : `${JSON.stringify(files.manifest, undefined, 2)}\n`;
  await write('leonore.yaml', manifest, 0o644);
  if (!files.image) await mkdir(join(dir, 'binary'), { recursive: true });
  for (const [path, content] of Object.entries(files.image ?? {})) await write(`image/${path}`, content, 0o644);
  for (const [path, content] of Object.entries(files.binary ?? {})) await write(`binary/${path}`, content, 0o755);
  for (const [name, text] of Object.entries(files.control ?? {}))
    await write(`control/${name}`, `#!/bin/sh\n${text}\n`, 0o755);
  return dir;
}
