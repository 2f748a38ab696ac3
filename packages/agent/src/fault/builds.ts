/** Builds of the three components that gateways under fault have: each says in a log which build it is and that it runs. */
import { createHash } from 'node:crypto';
import type { ArtifactSketch } from '../test-support/packages.ts';

export interface Build {
  readonly name: string;
  readonly version: string;
  /** Of no other build. */
  readonly token: string;
  readonly sketch: ArtifactSketch;
  /** What its version folder must hold, by path. */
  readonly files: ReadonlyMap<string, string | Uint8Array>;
  readonly runs: boolean;
  readonly installPath: string | undefined;
}

/** What is wrong with it. */
export type Flaw = 'unwell' | 'exits' | 'install-fails';

export interface BuildOptions {
  readonly name: 'base' | 'app' | 'tool';
  readonly version: string;
  /** Scripts append to it: `install TOKEN`, `installed TOKEN`, `start TOKEN`, `uninstall TOKEN`. */
  readonly log: string;
  readonly flaw?: Flaw | undefined;
  readonly replaces?: string | undefined;
  readonly deltaFrom?: Buffer | undefined;
}

const NOISE_BYTES = 40_000;

export function build(options: BuildOptions): Build {
  const { name, version, log, flaw } = options;
  const token = `${name}-${version}${flaw === undefined ? '' : `-${flaw}`}`;
  const say = (what: string): string => `echo "${what} ${token}" >> '${log}'`;
  const runs = name !== 'base';
  const installPath = name === 'tool' ? undefined : `/opt/${name}`;
  const control: Record<string, string> = {
    install: [say('install'), ...(flaw === 'install-fails' ? ['exit 3'] : []), say('installed')].join('\n'),
    uninstall: say('uninstall'),
    ...(runs ? { start: [say('start'), flaw === 'exits' ? 'exit 3' : 'exec sleep 1000'].join('\n') } : {}),
    ...(name === 'app' ? { health: healthText(version, flaw) } : {}),
  };
  const binary: Record<string, string | Uint8Array> = { noise: noise(name, version), 'bin/tool': `${token}\n` };
  const files = new Map<string, string | Uint8Array>([['binary/version.txt', `${version}\n`]]);
  for (const [path, content] of Object.entries(binary)) files.set(`binary/${path}`, content);
  for (const [path, text] of Object.entries(control)) files.set(`control/${path}`, `#!/bin/sh\n${text}\n`);
  const sketch: ArtifactSketch = {
    name,
    version,
    ...(options.replaces === undefined ? {} : { replaces: options.replaces }),
    ...(name === 'app' ? { after: ['base'] } : {}),
    ...(installPath === undefined ? {} : { installPath }),
    ...(options.deltaFrom ? { deltaFrom: { tar: options.deltaFrom } } : {}),
    run: runs ? { healthTimeoutSeconds: flaw === undefined ? 20 : 1, stopTimeoutSeconds: 1 } : null,
    control,
    binary,
  };
  return { name, version, token, sketch, files, runs, installPath };
}

/** Well only beside the same version of what it needs. */
function healthText(version: string, flaw: Flaw | undefined): string {
  if (flaw === 'unwell') return 'echo no pulse; exit 1';
  return `test "$(cat "$LEONORE_PATH_BASE/version.txt")" = ${version}`;
}

/** That no compressor makes smaller; most of it is the same in all versions. */
function noise(name: string, version: string): Buffer {
  const bytes = Buffer.alloc(NOISE_BYTES);
  for (let at = 0; at < bytes.length; at += 32) {
    const seed = at < NOISE_BYTES / 20 ? `${name} ${version} ${at}` : `${name} ${at}`;
    createHash('sha256').update(seed).digest().copy(bytes, at);
  }
  return bytes;
}
