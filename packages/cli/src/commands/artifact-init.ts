/** `leonore artifact init`: a small artifact that works as it is, with comments where to go on; or one around an image. */
import { constants } from 'node:fs';
import { copyFile, mkdir, stat, writeFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { artifactNameSchema, LeonoreError } from '@leonore/protocol';
import type { App } from '../app.ts';

export async function initArtifact(
  dir: string,
  flags: { name?: string; image?: string },
  { terminal }: App,
): Promise<void> {
  const folder = resolve(terminal.cwd, dir);
  const name = artifactNameSchema.safeParse(
    flags.name ??
      basename(folder)
        .toLowerCase()
        .replaceAll(/[^a-z0-9._-]+/g, '-'),
  );
  if (!name.success) {
    throw new LeonoreError('cli.usage', `${name.error.issues[0]?.message ?? 'that is no name'}; give one with --name`);
  }
  const manifest = join(folder, 'leonore.yaml');
  if (await exists(manifest)) {
    throw new LeonoreError('cli.usage', `${manifest} exists already; init never overwrites`);
  }
  if (flags.image !== undefined) {
    await initImage(folder, name.data, resolve(terminal.cwd, flags.image));
    terminal.err(
      `made the image ${name.data} in ${folder}; give it its version in leonore.yaml, then: leonore artifact publish ${dir}`,
    );
    return;
  }
  const files = [
    { path: 'leonore.yaml', text: manifestText(name.data), mode: 0o644 },
    { path: 'binary/greet.sh', text: GREET, mode: 0o755 },
    { path: 'control/start', text: START, mode: 0o755 },
    { path: 'control/health', text: HEALTH, mode: 0o755 },
  ];
  for (const { path, text, mode } of files) {
    const target = join(folder, path);
    if (await exists(target)) continue;
    await mkdir(join(target, '..'), { recursive: true });
    await writeFile(target, text, { mode });
  }
  terminal.err(`made ${name.data} in ${folder}; change it to your needs, then: leonore artifact publish ${dir}`);
}

/** An image is the file as it is, beside its manifest. */
async function initImage(folder: string, name: string, image: string): Promise<void> {
  const stats = await stat(image).catch(() => undefined);
  if (!stats?.isFile()) throw new LeonoreError('cli.usage', `--image: ${image} is no file`);
  await mkdir(join(folder, 'image'), { recursive: true });
  const target = join(folder, 'image', basename(image));
  if (target !== image) {
    await copyFile(image, target, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE).catch(
      (error: NodeJS.ErrnoException) => {
        if (error.code === 'EEXIST')
          throw new LeonoreError('cli.usage', `${target} exists already; init never overwrites`, { cause: error });
        throw error;
      },
    );
  }
  await writeFile(join(folder, 'leonore.yaml'), imageManifestText(name), { flag: 'wx' });
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

function manifestText(name: string): string {
  return `# What this artifact is and what it needs.
name: ${name}
version: 0.1.0                  # raise it for each change: a published build never changes
description: ""

# Where it runs; a key left out means any.
# platform: { os: linux, arch: arm64, libc: glibc }

# Where binary/ goes on the gateway; left out, the gateway's container chooses.
# installPath: /opt/${name}

# requires:
#   artifacts:    { svm: ^1.2.0 }
#   capabilities: { java: ">=11" }
#   resources:    { memory: 64MiB, disk: 20MiB }

# How control/start is kept running; without it there is nothing to run.
run: { restart: always }
`;
}

function imageManifestText(name: string): string {
  return `# An image: the one file in image/, delivered as it is to gateways that install such files by themselves
# (SWUpdate, RAUC, Zephyr and others).
name: ${name}
version: 0.1.0                  # raise it for each change: a published build never changes
kind: image
description: ""

# Which gateways it is for; a key left out means any.
# platform: { os: linux, arch: arm64 }

# The kind of software module that DDI calls it; Zephyr takes only bApp.
# image: { part: os }

# requires:
#   capabilities: { bootloader: ">=2" }
#   resources:    { disk: 512MiB } # default: the size of the file
`;
}

const GREET = `#!/bin/sh
# The application itself. Its folder is replaced by an update; what shall stay goes to $LEONORE_DATA_DIR.
trap 'exit 0' TERM INT
while :; do
  date > "$LEONORE_DATA_DIR/alive"
  sleep 1 & wait $!
done
`;

const START = `#!/bin/sh
# Stays in the foreground: the gateway keeps it running, takes its output as log, and ends it with SIGTERM.
exec "$LEONORE_BINARY_DIR/greet.sh"
`;

const HEALTH = `#!/bin/sh
# Ends with 0 when the application is well. After an update this decides whether it stays.
test -s "$LEONORE_DATA_DIR/alive"
`;
