/**
 * `npm run build:agent`: the agent as one file, packages/agent/dist/leonore-agent.js, for gateways that have a Node (20.19 or
 * newer) and nothing else. What it bundles beside our own code: the MQTT client, zod, semver. What these could do and the
 * agent never asks for is left out (LEFT_OUT).
 *
 * The file is a script and a module at once, so that it runs under any name, with or without a package.json beside it, and
 * a Node that is too old reads its first lines and says so.
 */
import { glob, mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { OutputChunk, Plugin } from 'rolldown';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const ENTRY = join(ROOT, 'packages/agent/src/command-line/main.ts');
export const AGENT_DIST = join(ROOT, 'packages/agent/dist');
export const AGENT_BUNDLE = 'leonore-agent.js';
/** Bytes; a gateway downloads it, and keeps two of them. */
export const MAX_AGENT_BYTES = 400_000;

/** What a Node that is too old for the rest can read (14 and later), so that the first lines of the file are heard. */
const SYNTAX = 'es2020';

/** What bundled libraries load and the agent never uses; each is an object whose functions throw. */
const LEFT_OUT: readonly { readonly id: RegExp; readonly from: RegExp }[] = [
  // MQTT over WebSocket, through SOCKS, and as browsers and their workers have it; topic aliases of MQTT 5.
  { id: /^\.\/(ws|wx|ali|socks)$/, from: /node_modules\/mqtt\// },
  { id: /^(worker-timers|lru-cache)$/, from: /node_modules\/mqtt\// },
  // Schemas as JSON Schema, which is for servers that document themselves.
  { id: /\/(to-json-schema|json-schema-processors)\.js$/, from: /node_modules\/zod\// },
];
/** In zod: `z.string().email()` and the like, of which each brings a type of its own; how a type becomes JSON Schema. */
const STRING_FORMATS = /^ {4}\w+\(params\) \{\n\s*return this\.check\(core\._\w+\(Zod\w+, params\)\);\n {4}\},\n/gm;
const JSON_SCHEMA_OF_TYPE = /^ {4}inst\._zod\.processJSONSchema = \(ctx, json, params\) => .*;\n/gm;
const ABSENT = '\0absent';
const SILENT = '\0silent';

const slim: Plugin = {
  name: 'slim',
  resolveId(id, importer = '') {
    if (LEFT_OUT.some((one) => one.id.test(id) && one.from.test(importer))) return ABSENT;
    // Node's own streams are what that library hands on.
    if (id === 'readable-stream') return { id: 'node:stream', external: true };
    if (id === 'debug') return SILENT;
    return null;
  },
  async load(id) {
    if (id === ABSENT) {
      return `module.exports = new Proxy({}, { get(_, name) {
        if (name === '__esModule' || typeof name === 'symbol') return undefined;
        return function () { throw new Error('the bundled agent does not have ' + name); };
      } });`;
    }
    // Of its package.json the MQTT client wants the version.
    if (id.endsWith('/node_modules/mqtt/package.json')) {
      const { version } = JSON.parse(await readFile(id, 'utf8')) as Manifest;
      return { code: JSON.stringify({ version }), moduleType: 'json' };
    }
    if (id === SILENT) return `module.exports = () => Object.assign(() => undefined, { enabled: false });`;
    return null;
  },
  transform(code, id) {
    // Of its functions only those that are used.
    if (id.includes('/node_modules/semver/')) return { code, moduleSideEffects: false };
    if (!id.endsWith('/node_modules/zod/v4/classic/schemas.js')) return null;
    return code.replaceAll(STRING_FORMATS, '').replaceAll(JSON_SCHEMA_OF_TYPE, '');
  },
};

export interface BuiltAgent {
  readonly file: string;
  readonly bytes: number;
  /** Bundled libraries, NAME VERSION (LICENCE). */
  readonly libraries: readonly string[];
}

/** Writes `leonore-agent.js` to `outDir`; one that is there is replaced at once. */
export async function buildAgent(outDir: string): Promise<BuiltAgent> {
  const chunk = await bundleAgent();
  const licences = await licencesOf(Object.keys(chunk.modules));
  const code = narrow(wrap(chunk.code, licences));
  await mkdir(outDir, { recursive: true });
  const file = join(outDir, AGENT_BUNDLE);
  const aside = `${file}.${process.pid}`;
  await writeFile(aside, code, { mode: 0o755 });
  await rename(aside, file);
  return { file, bytes: Buffer.byteLength(code), libraries: licences.flatMap(({ names }) => names) };
}

async function bundleAgent(): Promise<OutputChunk> {
  const { rolldown } = await import('rolldown');
  await using bundle = await rolldown({
    input: { agent: '\0entry' },
    cwd: ROOT,
    platform: 'node',
    transform: { target: SYNTAX },
    // Schemas that nobody uses have no effects, also those that are made of others.
    treeshake: { manualPureFunctions: ['z', ...(await schemaNames())] },
    plugins: [slim, entry],
    onLog(level, log) {
      if (log.code !== 'TOLERATED_TRANSFORM') console.error(`${level}: ${log.message}`);
    },
  });
  const { output } = await bundle.generate({
    format: 'cjs',
    minify: true,
    codeSplitting: false,
    comments: { legal: false, annotation: false, jsdoc: false },
  });
  const chunk = output.find((one): one is OutputChunk => one.type === 'chunk');
  if (!chunk) throw new Error('rolldown made nothing');
  return chunk;
}

async function schemaNames(): Promise<string[]> {
  const names: string[] = [];
  for await (const file of glob('packages/{protocol,app-package,agent}/src/**/*.ts', { cwd: ROOT })) {
    const text = await readFile(join(ROOT, file), 'utf8');
    for (const [, name = ''] of text.matchAll(/\bconst (\w+)(?::[^=\n]+)? =\s+z\b/g)) names.push(name);
  }
  return names;
}

const entry: Plugin = {
  name: 'entry',
  resolveId: (id) => (id === '\0entry' ? id : null),
  load: (id) =>
    id === '\0entry'
      ? `import { agentMain } from ${JSON.stringify(ENTRY)};
         // Node itself would show the line that threw, which is all of the file.
         process.on('uncaughtException', (error) => {
           process.stderr.write((error && error.stack || error) + '\\n');
           process.exit(1);
         });
         agentMain(process).then((code) => { process.exitCode = code; });`
      : null,
};

/** Node's modules come from the process: \`require\` is not there in a module, \`import\` not in a script. */
function wrap(code: string, licences: readonly Licence[]): string {
  return `#!/usr/bin/env node
// The agent of a LEONORE gateway. Apache-2.0. Made by "npm run build:agent"; its libraries and their licences are named at the end.
if (typeof process.getBuiltinModule !== "function") {
  process.stderr.write("error: leonore-agent needs Node.js 20.19 or newer, and this is " + process.versions.node + "; put a newer one there, or take leonore-agent-lite, which needs none\\n");
  process.exitCode = 1;
} else (function (require, exports) {
${code.trim()}
})(process.getBuiltinModule, {});
/*
${licences.map(({ names, holders, terms }) => [...names, '', ...holders, '', terms].join('\n')).join('\n\n')}
*/
`;
}

/** One character beyond Latin-1, and V8 keeps the whole text at two bytes each for as long as the agent runs. */
function narrow(code: string): string {
  return code.replaceAll(/[^\0-\xff]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** Libraries under the same terms: NAME VERSION (LICENCE) of each, whose they are, and the terms. */
interface Licence {
  readonly names: string[];
  readonly holders: string[];
  readonly terms: string;
}

/** The npm packages that these modules come from, by the terms of their licences. */
async function licencesOf(modules: readonly string[]): Promise<Licence[]> {
  const folders = new Set(
    modules.flatMap((path) => /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(path)?.[0] ?? []),
  );
  const licences = new Map<string, Licence>();
  for (const folder of [...folders].toSorted()) {
    const { name, version, license } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as Manifest;
    const lines = (await licenceText(folder)).split('\n').map((line) => line.replace(/^[\s*#>-]+/, '').trim());
    const isHolder = (line: string) => /^(copyright|\(c\))|^-+$/i.test(line) && /\d{4}|\(c\)/i.test(line);
    const terms = lines.filter(
      (line) => line !== '' && !isHolder(line) && !/^=*$|licen[cs]e(\s*\(.*\))?:?$/i.test(line),
    );
    // The same words, however they are broken into lines and quoted.
    const key = terms
      .join(' ')
      .toLowerCase()
      .replaceAll(/[^a-z]+/g, ' ');
    const same = licences.get(key) ?? { names: [], holders: [], terms: terms.join('\n') };
    licences.set(key, same);
    same.names.push(`${name} ${version} (${license})`);
    same.holders.push(...lines.filter(isHolder).filter((line) => !same.holders.includes(line)));
  }
  return [...licences.values()];
}

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly license: string;
}

async function licenceText(folder: string): Promise<string> {
  const name = (await readdir(folder)).find((one) => /^licen[cs]e(\.|$)/i.test(one));
  if (name === undefined) throw new Error(`${folder} has no licence; it cannot be bundled`);
  return (await readFile(join(folder, name), 'utf8')).trim().replaceAll('*/', '* /');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const optional = process.argv.includes('--if-possible');
  try {
    const { bytes } = await buildAgent(AGENT_DIST);
    if (bytes > MAX_AGENT_BYTES) {
      throw new Error(`it has ${bytes} bytes, and may have ${MAX_AGENT_BYTES}`);
    }
    if (!optional) console.log(`packages/agent/dist/${AGENT_BUNDLE}: ${bytes} bytes`);
  } catch (error) {
    // Without what developers need (npm ci --omit=dev) there is nothing to build with.
    const missing = optional && error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND';
    console.error(`build:agent: ${missing ? 'left out, as rolldown is not installed' : String(error)}`);
    if (!missing) process.exitCode = 1;
  }
}
