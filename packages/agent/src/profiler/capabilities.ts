/** Execution environments found on this machine: each is asked for its version, all at once, none for long. */
import { execFile } from 'node:child_process';
import { capabilityVersionSchema } from '@leonore/protocol';

export interface Probe {
  readonly capability: string;
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
];

export async function findCapabilities(
  probes: readonly Probe[] = PROBES,
  timeoutMs = 5000,
): Promise<Record<string, string>> {
  const found = await Promise.all(
    probes.map(async (probe) => [probe.capability, await ask(probe, timeoutMs)] as const),
  );
  return Object.fromEntries(found.filter((pair): pair is readonly [string, string] => pair[1] !== undefined));
}

function ask(probe: Probe, timeoutMs: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const child = execFile(
      probe.command,
      [...probe.args],
      { timeout: timeoutMs, killSignal: 'SIGKILL', maxBuffer: 65_536 },
      (error, stdout, stderr) => {
        const version = error ? undefined : probe.pattern.exec(`${stdout}\n${stderr}`)?.[1];
        resolve(capabilityVersionSchema.safeParse(version).data);
      },
    );
    child.stdin?.end();
  });
}
