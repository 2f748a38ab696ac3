/** For tests: components as the package builder has them, from folders that were really packed. */
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { packArtifact } from '@leonore/app-package';
import { planStepSchema, type PlanStep } from '@leonore/protocol';
import type { Component } from '../../mod.ts';

export interface TestApplication {
  readonly name: string;
  readonly version?: string;
  readonly needs?: readonly string[];
  readonly run?: Readonly<Record<string, unknown>>;
  readonly installPath?: string;
  /** Names of control scripts with their text, without the first line. */
  readonly control?: Readonly<Record<string, string>>;
  readonly binary?: Readonly<Record<string, string>>;
}

export interface PackedComponent extends Component {
  /** The gzip segment. */
  readonly file: string;
}

export async function packComponent(dir: string, application: TestApplication): Promise<PackedComponent> {
  const { name, version = '1.0.0', needs = [], run, installPath, control = {}, binary = {} } = application;
  const source = await mkdtemp(join(dir, `${name}-`));
  const manifest = { name, version, ...(run ? { run } : {}), ...(installPath === undefined ? {} : { installPath }) };
  await writeFile(join(source, 'leonore.yaml'), JSON.stringify(manifest));
  await mkdir(join(source, 'binary'));
  for (const [path, text] of Object.entries(binary))
    await writeFile(join(source, 'binary', path), text, { mode: 0o755 });
  if (Object.keys(control).length > 0) await mkdir(join(source, 'control'));
  for (const [script, text] of Object.entries(control))
    await writeFile(join(source, 'control', script), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  const packed = await packArtifact(source, { outDir: join(source, 'packed') });
  const step: PlanStep = planStepSchema.parse({
    action: 'install',
    name,
    version,
    platform: {},
    requested: true,
    because: 'requested',
    after: needs,
  });
  const file = packed.segments.find(({ encoding }) => encoding === 'gzip')?.file ?? '';
  return {
    step,
    artifact: {
      manifest: packed.manifest,
      contentSha256: packed.contentSha256,
      unpackedSize: packed.unpackedSize,
      fileCount: packed.files.length,
      segments: packed.segments.map(({ encoding, sha256, size }) => ({ encoding, sha256, size })),
      publishedAt: 1,
    },
    files: packed.files,
    file,
  };
}
