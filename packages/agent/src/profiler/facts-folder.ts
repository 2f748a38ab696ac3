/**
 * The gateway's own facts, from a folder that its owner fills: programs are run and what they print is taken, `*.json` and
 * `*.txt` are read. Whatever one of them does, it costs bounded time and bytes and harms only its own facts; what is wrong
 * with it is said once. Leaves to others: when.
 *
 * Read in the order of their names; of two that say the same fact the later one counts.
 */
import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Facts, factKeySchema, factValueSchema, MAX_FACTS } from '@leonore/protocol';
import type { Logger } from '../connectivity/mod.ts';
import { runProgram } from './program.ts';

export interface FactsFolderOptions {
  readonly dir: string;
  readonly logger: Logger;
  /** For each program. */
  readonly timeoutMs?: number;
}

export interface FactsFolder {
  read(signal?: AbortSignal): Promise<Facts>;
}

/** Of each file, bytes. */
const MAX_OUTPUT = 16 * 1024;
const MAX_FILES = 64;
const AT_ONCE = 2;

/** What a file says, and what is wrong with it. */
interface Said {
  readonly facts: Facts;
  readonly fault?: string | undefined;
}

export function createFactsFolder({ dir, logger, timeoutMs = 10_000 }: FactsFolderOptions): FactsFolder {
  /** By file (and for the folder itself): the fault that was logged. */
  const told = new Map<string, string>();
  const tell = (file: string, fault: string | undefined): void => {
    if (fault === told.get(file)) return;
    if (fault === undefined) told.delete(file);
    else {
      told.set(file, fault);
      logger.warn('own facts cannot be taken', { file, why: fault });
    }
  };

  return {
    async read(signal) {
      const all = (await readdir(dir).catch(() => [])).filter((name) => !/^\.|~$|\.(bak|swp|disabled)$/.test(name));
      const names = all.toSorted().slice(0, MAX_FILES);
      tell(
        dir,
        all.length > MAX_FILES ? `only the first ${MAX_FILES} of ${all.length} files are looked at` : undefined,
      );
      const said: Said[] = [];
      const waiting = names.entries();
      const worker = async (): Promise<void> => {
        for (const [index, name] of waiting) {
          if (signal?.aborted) return;
          said[index] = await ask(join(dir, name), timeoutMs, signal);
        }
      };
      await Promise.all(Array.from({ length: AT_ONCE }, worker));
      if (signal?.aborted) return {};
      for (const file of told.keys())
        if (file !== dir && !names.some((name) => join(dir, name) === file)) told.delete(file);
      const facts = new Map<string, Facts[string]>();
      for (const [index, name] of names.entries()) {
        let fault = said[index]?.fault;
        for (const [key, value] of Object.entries(said[index]?.facts ?? {})) {
          if (facts.has(key) || facts.size < MAX_FACTS) facts.set(key, value);
          else fault ??= `a gateway has at most ${MAX_FACTS} facts; ${key} and what comes after it is left out`;
        }
        tell(join(dir, name), fault);
      }
      return Object.fromEntries([...facts].toSorted(([a], [b]) => (a < b ? -1 : 1)));
    },
  };
}

async function ask(file: string, timeoutMs: number, signal: AbortSignal | undefined): Promise<Said> {
  const none = (fault: string): Said => ({ facts: {}, fault });
  const entry = await stat(file).catch(() => undefined);
  if (!entry?.isFile()) return none('is no file');
  const agent = process.getuid?.();
  if (agent !== undefined && ((entry.mode & 0o002) !== 0 || (entry.uid !== agent && entry.uid !== 0))) {
    return none('others than root and the user of the agent can change it: chown it, and chmod o-w');
  }
  if (/\.(json|txt)$/.test(file)) {
    const text = await readHead(file).catch((error: unknown) => new Error('cannot be read', { cause: error }));
    if (text instanceof Error) return none(text.message);
    return text === undefined ? none(`is longer than ${MAX_OUTPUT / 1024} KiB`) : parseFacts(text);
  }
  if ((entry.mode & 0o111) === 0) return none('is neither executable (chmod +x) nor called *.json or *.txt');
  const end = await runProgram(file, [], { timeoutMs, maxBytes: MAX_OUTPUT, signal });
  if (end.outcome !== 'ended') return none(end.why);
  if (end.code !== 0) {
    const words = end.errors.trim().split('\n').at(-1)?.slice(0, 200);
    return none(`ended with exit code ${end.code}${words ? `: ${words}` : ''}`);
  }
  return parseFacts(end.output);
}

/** Undefined when it is too long. */
async function readHead(file: string): Promise<string | undefined> {
  await using handle = await open(file, 'r');
  const { bytesRead, buffer } = await handle.read(Buffer.alloc(MAX_OUTPUT + 1), 0, MAX_OUTPUT + 1, 0);
  return bytesRead > MAX_OUTPUT ? undefined : buffer.toString('utf8', 0, bytesRead);
}

/** A JSON object of plain values, or `name=value` lines, in which values are always text and `#` begins a comment. */
export function parseFacts(text: string): Said {
  const trimmed = text.trim();
  const entries = trimmed.startsWith('{') ? jsonEntries(trimmed) : lineEntries(trimmed);
  if (typeof entries === 'string') return { facts: {}, fault: entries };
  const facts: [string, Facts[string]][] = [];
  let fault: string | undefined;
  for (const [key, value] of entries) {
    const name = factKeySchema.safeParse(key);
    const fact = factValueSchema.safeParse(value);
    if (!name.success) fault ??= `"${key.slice(0, 80)}" is left out: ${name.error.issues[0]?.message ?? ''}`;
    else if (!fact.success)
      fault ??= `${key} is left out: a value is a number, true, false, or text of up to 255 characters`;
    else if (facts.push([name.data, fact.data]) > MAX_FACTS) break;
  }
  return { facts: Object.fromEntries(facts), fault };
}

function jsonEntries(text: string): readonly (readonly [string, unknown])[] | string {
  try {
    const value: unknown = JSON.parse(text);
    // null: there is no such fact now.
    return Object.entries(value as object).filter(([, fact]) => fact !== null);
  } catch (error) {
    return `is no JSON: ${error instanceof Error ? error.message.slice(0, 200) : String(error)}`;
  }
}

function lineEntries(text: string): readonly (readonly [string, unknown])[] | string {
  const lines = text.split('\n').map((line) => line.trim());
  const entries: [string, string][] = [];
  for (const line of lines) {
    if (line === '' || line.startsWith('#')) continue;
    const at = line.indexOf('=');
    if (at < 0) return `says neither a JSON object nor NAME=VALUE lines: "${line.slice(0, 80)}"`;
    entries.push([line.slice(0, at).trim(), line.slice(at + 1).trim()]);
  }
  return entries;
}
