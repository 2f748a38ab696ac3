/**
 * Execution environments found on this machine: each is asked for its version, all at once, none for long. One that was
 * asked already is asked again only when its program is another file.
 */
import { realpath, stat } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { capabilityVersionSchema } from '@leonore/protocol';
import { runProgram, searchPath } from './program.ts';

export interface Probe {
  readonly capability: string;
  /** A name to be looked for in PATH, or a path. */
  readonly command: string;
  readonly args: readonly string[];
  /** Its first group is the version. */
  readonly pattern: RegExp;
}

const VERSION = /(\d+(?:\.\d+)*)/;
export const PROBES: readonly Probe[] = [
  { capability: 'java', command: 'java', args: ['-version'], pattern: /version "(\d+(?:\.\d+)*)/ },
  { capability: 'python3', command: 'python3', args: ['--version'], pattern: /Python (\d+(?:\.\d+)*)/ },
  { capability: 'node', command: 'node', args: ['--version'], pattern: /v(\d+(?:\.\d+)*)/ },
  { capability: 'docker', command: 'docker', args: ['--version'], pattern: /version (\d+(?:\.\d+)*)/i },
  { capability: 'podman', command: 'podman', args: ['--version'], pattern: /version (\d+(?:\.\d+)*)/i },
  { capability: 'perl', command: 'perl', args: ['-e', 'print $^V'], pattern: /v(\d+(?:\.\d+)*)/ },
  { capability: 'ruby', command: 'ruby', args: ['--version'], pattern: VERSION },
  { capability: 'lua', command: 'lua', args: ['-v'], pattern: /Lua (\d+(?:\.\d+)*)/ },
  { capability: 'php', command: 'php', args: ['--version'], pattern: /PHP (\d+(?:\.\d+)*)/ },
  { capability: 'dotnet', command: 'dotnet', args: ['--list-runtimes'], pattern: /NETCore\.App (\d+(?:\.\d+)*)/ },
  { capability: 'wasmtime', command: 'wasmtime', args: ['--version'], pattern: /wasmtime\D* (\d+(?:\.\d+)*)/ },
];

const MAX_OUTPUT = 64 * 1024;

export interface CapabilityFinder {
  find(signal?: AbortSignal): Promise<Record<string, string>>;
}

export interface CapabilityFinderOptions {
  readonly probes?: readonly Probe[];
  /** For each program. */
  readonly timeoutMs?: number;
}

export function createCapabilityFinder({
  probes = PROBES,
  timeoutMs = 10_000,
}: CapabilityFinderOptions = {}): CapabilityFinder {
  /** By capability: the program that was asked, and what it said. */
  const known = new Map<string, { readonly file: string; readonly version: string | undefined }>();

  const versionOf = async (probe: Probe, signal?: AbortSignal): Promise<string | undefined> => {
    const found = await findProgram(probe.command);
    if (!found) {
      known.delete(probe.capability);
      return undefined;
    }
    const before = known.get(probe.capability);
    if (before?.file === found.file) return before.version;
    const end = await runProgram(found.path, probe.args, { timeoutMs, maxBytes: MAX_OUTPUT, signal });
    // A machine too busy to answer in time says nothing about the program: next time again.
    if (end.outcome !== 'ended') return undefined;
    const text = end.code === 0 ? `${end.output}\n${end.errors}` : '';
    const version = capabilityVersionSchema.safeParse(probe.pattern.exec(text)?.[1]).data;
    known.set(probe.capability, { file: found.file, version });
    return version;
  };

  return {
    async find(signal) {
      const found = await Promise.all(
        probes.map(async (probe) => [probe.capability, await versionOf(probe, signal)] as const),
      );
      return Object.fromEntries(found.filter((pair): pair is readonly [string, string] => pair[1] !== undefined));
    },
  };
}

/** What this command starts. `file` is another for another version of it: another file, or another time or size. */
async function findProgram(command: string): Promise<{ readonly path: string; readonly file: string } | undefined> {
  const places = command.includes('/') ? [command] : searchPath().split(delimiter);
  for (const place of places) {
    if (place === '') continue;
    const path = place === command ? command : join(place, command);
    const entry = await stat(path).catch(() => undefined);
    if (!entry?.isFile() || (entry.mode & 0o111) === 0) continue;
    // Started by the name that was found, as some programs go by that; told apart by the file that it leads to.
    const target = await realpath(path).catch(() => path);
    return { path, file: `${target} ${entry.mtimeMs} ${entry.size}` };
  }
  return undefined;
}
