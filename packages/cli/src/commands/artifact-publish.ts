/** `leonore artifact pack` and `publish`: folder -> segments -> node. A folder that fails does not hold up the others. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { type PackedArtifact, packArtifact } from '@leonore/app-package';
import type { Client } from '@leonore/client';
import { type Artifact, artifactLabel, LeonoreError } from '@leonore/protocol';
import type { App } from '../app.ts';
import { describeFailure, Reported } from '../failure.ts';
import { emitList, emitOne, type OutputFormat } from '../output/emit.ts';
import { createPaint, harmless } from '../output/paint.ts';
import { formatBytes } from '../output/quantities.ts';
import { renderFacts } from '../output/table.ts';
import { createTransferProgress } from '../progress/transfer-progress.ts';
import type { ConnectionFlags } from '../settings/connection.ts';
import type { Terminal } from '../terminal.ts';

export async function packCommand(dir: string, flags: { out: string; output: OutputFormat }, app: App): Promise<void> {
  const { terminal } = app;
  const packed = await packArtifact(resolve(terminal.cwd, dir), { outDir: resolve(terminal.cwd, flags.out) });
  await emitOne(terminal, flags.output, packed, {
    name: ({ segments }) => segments.map(({ file }) => file).join('\n'),
    render: (one, paint) =>
      renderFacts(
        [
          ['artifact', paint.strong(artifactLabel(one.manifest))],
          ['content', `${formatBytes(one.unpackedSize)} in ${one.files.length} files, sha256 ${one.contentSha256}`],
          ...one.segments.map(({ encoding, size, file }) => [encoding, `${formatBytes(size)}  ${file}`] as const),
        ],
        paint,
      ),
  });
}

export async function publishCommand(
  dirs: readonly string[],
  flags: ConnectionFlags & { output: OutputFormat },
  app: App,
): Promise<void> {
  const { terminal } = app;
  const client = await app.connect(flags);
  const published: Artifact[] = [];
  let failed: number | undefined;
  for (const dir of dirs) {
    try {
      const { artifact, created } = await publishFolder(client, resolve(terminal.cwd, dir), terminal);
      published.push(artifact);
      terminal.err(`${created ? 'published' : 'already published:'} ${artifactLabel(artifact.manifest)}`);
    } catch (error) {
      terminal.signal.throwIfAborted();
      const failure = describeFailure(error);
      // Without a node or a right to call it, the other folders fail alike.
      if (dirs.length === 1 || failure.exitCode >= 4) throw error;
      failed ??= failure.exitCode;
      const paint = createPaint(terminal.errColour);
      terminal.err(`${paint.bad('error:')} ${harmless(dir)}: ${harmless(failure.message ?? 'failed')}`);
      if (failure.hint) terminal.err(`${paint.busy('hint:')} ${failure.hint}`);
    }
  }
  if (published.length > 0) {
    await emitList(terminal, flags.output, published, {
      columns: () => [
        { title: 'name', value: ({ manifest }) => manifest.name },
        { title: 'version', value: ({ manifest }) => manifest.version },
        {
          title: 'packed',
          value: ({ segments }) => formatBytes(Math.min(...segments.map(({ size }) => size))),
          align: 'right',
        },
        { title: 'sha256', value: ({ contentSha256 }) => contentSha256.slice(0, 12) },
      ],
      name: ({ manifest }) => `${manifest.name}@${manifest.version}`,
      whenEmpty: '',
    });
  }
  if (failed !== undefined) throw new Reported(failed);
}

/** Packs to a folder of its own that is gone afterwards, uploads what the node does not have, publishes. */
export async function publishFolder(
  client: Client,
  dir: string,
  terminal: Terminal,
): Promise<{ artifact: Artifact; created: boolean }> {
  const outDir = await mkdtemp(join(tmpdir(), 'leonore-pack-'));
  try {
    const packed = await packArtifact(dir, { outDir });
    await uploadSegments(client, packed, terminal);
    const segments = packed.segments.map(({ encoding, sha256, size }) => ({ encoding, sha256, size }));
    return await client.artifacts.publish({ manifest: packed.manifest, segments }, { signal: terminal.signal });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT' && !(error instanceof LeonoreError)) {
      throw new LeonoreError('cli.usage', `${dir} is no artifact: ${(error as Error).message}`, { cause: error });
    }
    throw error;
  } finally {
    await rm(outDir, { recursive: true, force: true });
  }
}

async function uploadSegments(client: Client, packed: PackedArtifact, terminal: Terminal): Promise<void> {
  const label = artifactLabel(packed.manifest);
  for (const { file, sha256, size, encoding } of packed.segments) {
    using progress = createTransferProgress(terminal, `uploading ${label} (${encoding})`, size);
    await client.uploadFile(file, sha256, size, {
      onProgress: ({ sent }) => progress.show(sent),
      signal: terminal.signal,
    });
  }
}
