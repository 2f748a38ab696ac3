/**
 * Who may know whom (ARCHITECTURE.md), as data, and the walk over all imports that holds the code to it.
 * Also: relative imports end in `.ts` and stay in their package, packages declare what they use, files are named for
 * what they do. Leaves cycles between files to the linter.
 */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, posix, relative, sep } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

interface Borders {
  readonly packages: Readonly<Record<string, readonly string[]>>;
  readonly rooms: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>;
}

/** What may be imported, and by whom: a package or room -> those it may know. `types of X`: `import type` only. */
const BORDERS: Borders = {
  packages: {
    protocol: [],
    'app-package': ['protocol'],
    client: ['protocol'],
    framework: ['protocol', 'app-package'],
    agent: ['protocol', 'app-package'],
    'agent-lite': [],
    evaluation: ['protocol', 'app-package', 'client', 'agent'],
    cli: ['protocol', 'app-package', 'client', 'framework', 'agent', 'evaluation', 'examples'],
    testkit: ['protocol', 'app-package', 'client', 'framework', 'agent', 'evaluation', 'cli'],
  },
  /** Rooms of a package (the first folder under src), each entered through its `mod.ts` only. Files beside them wire the rooms together and know all. */
  rooms: {
    framework: {
      repositories: [],
      events: [],
      'agent-setup': [],
      'dependency-management': ['repositories'],
      'package-management': ['repositories'],
      'package-builder': ['package-management', 'dependency-management', 'repositories'],
      'gateway-management': ['package-management', 'dependency-management', 'repositories', 'events'],
      'gateway-handler': [
        'gateway-management',
        'package-builder',
        'repositories',
        'events',
        'types of provisioning-handler',
      ],
      'provisioning-handler': [
        'package-builder',
        'gateway-management',
        'package-management',
        'dependency-management',
        'repositories',
        'events',
        'types of gateway-handler',
      ],
      api: [
        'agent-setup',
        'repositories',
        'events',
        'dependency-management',
        'package-management',
        'package-builder',
        'gateway-management',
        'gateway-handler',
        'provisioning-handler',
      ],
    },
  },
};
const SCOPE = '@leonore/';
/**
 * Tests (`x.test.ts`, and what lies in a folder `testing`) may also use these workspace packages, whatever the root
 * declares, and `@leonore/X/testing` of the packages they may know. Nobody else may use what lies in `testing`.
 */
const FOR_TESTS = ['testkit'];
/** Sources outside of packages: they may know each other and use packages by name. */
const BESIDE_PACKAGES = ['test', 'scripts'];
const VAGUE_NAMES = ['util', 'utils', 'helper', 'helpers', 'common', 'misc', 'impl'];

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');

interface Import {
  readonly specifier: string;
  readonly typesOnly: boolean;
}

/** Static, re-exporting and dynamic imports. Relies on the formatter: a statement starts its line. */
function importsOf(source: string): Import[] {
  const found: Import[] = [];
  const statements = /^(?:import|export)\b([^'"`;=()]*?)\bfrom\s*['"]([^'"]+)['"]|^import\s*['"]([^'"]+)['"]/gm;
  for (const [, clause = '', from, bare] of source.matchAll(statements)) {
    const names = /^\s*\{([^}]*)\}\s*$/
      .exec(clause)?.[1]
      ?.split(',')
      .filter((name) => name.trim() !== '');
    const typesOnly = /^\s*type\b/.test(clause) || (names?.every((name) => /^\s*type\s/.test(name)) ?? false);
    found.push({ specifier: from ?? bare ?? '', typesOnly: bare === undefined && typesOnly });
  }
  // Not inside of comments; `type X = import('...')` counts as an import like any other.
  const code = source.replaceAll(/^\s*(?:\/\/|\/?\*).*$/gm, '');
  for (const [, specifier = ''] of code.matchAll(/\bimport\(\s*['"]([^'"]+)['"]/g)) {
    found.push({ specifier, typesOnly: false });
  }
  return found;
}

async function sourceFiles(root: string, folder: string): Promise<string[]> {
  const entries = await readdir(join(root, folder), { recursive: true, withFileTypes: true }).catch(() => []);
  return entries
    .filter((entry) => entry.isFile() && /\.[cm]?[jt]sx?$/.test(entry.name))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)).replaceAll(sep, '/'))
    .filter((path) => !path.includes('node_modules/'))
    .toSorted();
}

async function declaredBy(packageJson: string): Promise<string[]> {
  const text = await readFile(packageJson, 'utf8').catch(() => '{}');
  const { dependencies = {}, devDependencies = {} } = JSON.parse(text) as Record<string, Record<string, string>>;
  return [...Object.keys(dependencies), ...Object.keys(devDependencies)];
}

/** Every breach of the borders under `root`, in words; none = all is well. */
async function findBreaches(root: string, borders: Borders): Promise<string[]> {
  const breaches: string[] = [];
  const entries = await readdir(join(root, 'packages'), { withFileTypes: true });
  for (const { name } of entries.filter((entry) => entry.isDirectory())) {
    if (borders.packages[name]) breaches.push(...(await packageBreaches(root, name, borders)));
    else breaches.push(`packages/${name} has no place in the table of borders; say there whom it may know`);
  }
  for (const folder of BESIDE_PACKAGES) {
    const paths = await sourceFiles(root, folder);
    for (const path of paths) {
      for (const { specifier } of importsOf(await readFile(join(root, path), 'utf8'))) {
        if (!specifier.startsWith('.')) continue;
        checkTarget(BESIDE_PACKAGES, path, specifier, (what) => breaches.push(`${path} ${what}`));
      }
    }
    breaches.push(...vagueNames(paths));
  }
  return breaches;
}

async function packageBreaches(root: string, name: string, borders: Borders): Promise<string[]> {
  const breaches: string[] = [];
  const allowed = borders.packages[name] ?? [];
  const declared = await declaredBy(join(root, 'packages', name, 'package.json'));
  const declaredForTests = [...(await declaredBy(join(root, 'package.json'))), ...FOR_TESTS.map((one) => SCOPE + one)];
  const sources = await sourceFiles(root, `packages/${name}/src`);
  for (const path of [...sources, ...(await sourceFiles(root, `packages/${name}/bin`))]) {
    const isTest = isForTests(path);
    const say: Say = (what) => breaches.push(`${path} ${what}`);
    for (const entry of importsOf(await readFile(join(root, path), 'utf8'))) {
      if (entry.specifier.startsWith('.')) checkRelative(borders, name, path, entry, say);
      else {
        const specifier = isTest ? entry.specifier.replace(/\/testing$/, '') : entry.specifier;
        checkPackage(specifier, name, isTest ? [...allowed, ...FOR_TESTS] : allowed, say);
        checkDeclared(specifier, isTest ? [...declared, ...declaredForTests] : declared, say);
      }
    }
  }
  const known = borders.rooms[name];
  for (const room of known ? new Set(sources.flatMap((path) => roomOf(name, path) ?? [])) : []) {
    if (known?.[room]) continue;
    breaches.push(`packages/${name}/src/${room} has no place in the table of borders; say there whom it may know`);
  }
  return [...breaches, ...vagueNames(sources)];
}

function isForTests(path: string): boolean {
  return path.endsWith('.test.ts') || path.includes('/testing/');
}

/** The first folder under the package's src; undefined for a file beside the rooms. */
function roomOf(name: string, path: string): string | undefined {
  return /^([^/]+)\//.exec(path.slice(`packages/${name}/src/`.length))?.[1];
}

type Say = (what: string) => unknown;

/** The path that a relative import names, or undefined after saying why it may not be named. */
function checkTarget(within: readonly string[], path: string, specifier: string, say: Say): string | undefined {
  const target = posix.join(posix.dirname(path), specifier);
  if (!within.some((folder) => target.startsWith(`${folder}/`))) {
    say(`imports ${specifier}, which leaves ${within.join(' and ')}; use a package's name`);
  } else if (!/\.(ts|tsx|json)$/.test(target)) say(`imports ${specifier} without .ts`);
  else return target;
  return undefined;
}

function checkRelative(borders: Borders, name: string, path: string, entry: Import, say: Say): void {
  const target = checkTarget([`packages/${name}`], path, entry.specifier, say);
  if (target !== undefined && isForTests(target) && !isForTests(path))
    say(`imports ${entry.specifier}, which is for tests`);
  const rooms = borders.rooms[name];
  if (target === undefined || !rooms) return;
  const src = `packages/${name}/src/`;
  const from = roomOf(name, path);
  const to = target.startsWith(src) ? roomOf(name, target) : undefined;
  if (from === to) return;
  if (to === undefined) {
    if (from !== undefined && target.startsWith(src)) say(`imports ${entry.specifier}, which wires the rooms together`);
    return;
  }
  if (target !== `${src}${to}/mod.ts`) say(`imports ${entry.specifier}; enter ${to} through its mod.ts`);
  const allowed = from === undefined ? Object.keys(rooms) : rooms[from];
  if (!allowed || allowed.includes(to)) return;
  if (!allowed.includes(`types of ${to}`)) say(`imports ${to}, which ${from} may not know`);
  else if (!entry.typesOnly) say(`imports values of ${to}, of which ${from} may know the types only`);
}

function checkPackage(specifier: string, name: string, allowed: readonly string[], say: Say): void {
  if (!specifier.startsWith(SCOPE)) return;
  const [other = '', ...inside] = specifier.slice(SCOPE.length).split('/');
  if (inside.length > 0) say(`imports ${specifier}; enter ${other} through its public face`);
  if (other === name) say(`imports ${specifier}, its own package; use a relative import`);
  else if (!allowed.includes(other)) say(`imports ${specifier}, which ${name} may not know`);
}

function checkDeclared(specifier: string, declared: readonly string[], say: Say): void {
  if (specifier.startsWith('node:')) return;
  const [first = '', second = ''] = specifier.split('/');
  const dependency = first.startsWith('@') ? `${first}/${second}` : first;
  // A package of types alone (`@types/x`) is what `import type` of `x` needs.
  if (!declared.includes(dependency) && !declared.includes(`@types/${dependency}`)) {
    say(`imports ${specifier}, which its package.json does not declare`);
  }
}

function vagueNames(paths: readonly string[]): string[] {
  return paths.flatMap((path) => {
    const words = path
      .split('/')
      .slice(path.startsWith('packages/') ? 3 : 1)
      .flatMap((part) => part.split(/[-.]/));
    const vague = words.find((word) => VAGUE_NAMES.includes(word));
    if (vague !== undefined) return [`${path}: "${vague}" does not say what it does`];
    return words.some((word) => word !== word.toLowerCase() || word.includes('_')) ? [`${path} is not kebab-case`] : [];
  });
}

/** Kept out of the texts below, which the walk reads too. */
const LATE = 'import';

void test('nobody knows what they may not know', async () => {
  assert.deepEqual(await findBreaches(ROOT, BORDERS), []);
});

void test('the walk sees the imports that are there', async () => {
  const files = await sourceFiles(ROOT, 'packages/protocol/src');
  const imports = importsOf(await readFile(join(ROOT, 'packages/protocol/src/mod.ts'), 'utf8'));
  assert.ok(files.length > 5);
  assert.ok(imports.some(({ specifier }) => specifier === './errors.ts'));
  assert.deepEqual(
    importsOf(
      [
        `import { type A,\n  type B } from './a.ts';`,
        `import {\n  type A,\n  b,\n} from './b.ts';`,
        `import './c.ts';`,
        `export type { D } from "./d.ts";`,
        `const e = await ${LATE}('./e.ts');`,
        `/**`,
        ` * ${LATE}('./no.ts') in words`,
        ` */`,
      ].join('\n'),
    ),
    [
      { specifier: './a.ts', typesOnly: true },
      { specifier: './b.ts', typesOnly: false },
      { specifier: './c.ts', typesOnly: false },
      { specifier: './d.ts', typesOnly: true },
      { specifier: './e.ts', typesOnly: false },
    ],
  );
});

const LAWFUL: Record<string, string> = {
  'packages/protocol/package.json': '{}',
  'packages/protocol/src/testing/made.ts': `import * as fc from 'fast-check';`,
  'package.json': `{"devDependencies":{"fast-check":"4"}}`,
  'packages/protocol/src/mod.ts': `import fs from 'node:fs';\nexport { a } from './a.ts';`,
  'packages/framework/package.json': `{"dependencies":{"@leonore/protocol":"1","fastify":"5"}}`,
  'packages/framework/src/node.ts': `import { b } from './api/mod.ts';\nimport { r } from './repositories/mod.ts';`,
  'packages/framework/src/api/mod.ts': `import { r } from '../repositories/mod.ts';\nimport fastify from 'fastify';`,
  'packages/framework/src/repositories/mod.ts': `import type { A } from '@leonore/protocol';`,
  'packages/framework/src/gateway-handler/mod.ts': `import type { P } from '../provisioning-handler/mod.ts';`,
};

const UNLAWFUL: { breach: string; files: Record<string, string>; says: RegExp }[] = [
  {
    breach: 'a package that may not be known',
    files: {
      'packages/protocol/package.json': `{"dependencies":{"@leonore/client":"1"}}`,
      'packages/protocol/src/x.ts': `import { call } from '@leonore/client';`,
    },
    says: /protocol\/src\/x\.ts imports @leonore\/client, which protocol may not know/,
  },
  {
    breach: 'a way around the public face of a package',
    files: { 'packages/framework/src/x.ts': `import { a } from '@leonore/protocol/src/a.ts';` },
    says: /through its public face/,
  },
  {
    breach: 'a path into another package',
    files: { 'packages/framework/src/x.ts': `import { a } from '../../protocol/src/mod.ts';` },
    says: /leaves packages\/framework/,
  },
  {
    breach: 'a path from a test into a package',
    files: { 'test/x.test.ts': `import { a } from '../packages/protocol/src/mod.ts';` },
    says: /test\/x\.test\.ts imports .* leaves test/,
  },
  {
    breach: 'a room against the direction',
    files: { 'packages/framework/src/repositories/x.ts': `import type { B } from '../api/mod.ts';` },
    says: /imports api, which repositories may not know/,
  },
  {
    breach: 'a room not through its door',
    files: { 'packages/framework/src/api/x.ts': `import { r } from '../repositories/sqlite/x.ts';` },
    says: /enter repositories through its mod\.ts/,
  },
  {
    breach: 'values where types are allowed',
    files: {
      'packages/framework/src/gateway-handler/x.ts': `import { p, type P } from '../provisioning-handler/mod.ts';`,
    },
    says: /may know the types only/,
  },
  {
    breach: 'a dynamic import',
    files: { 'packages/framework/src/repositories/x.ts': `const late = await ${LATE}('../api/mod.ts');` },
    says: /may not know/,
  },
  {
    breach: 'a room that knows the composition root',
    files: { 'packages/framework/src/api/x.ts': `import { startNode } from '../node.ts';` },
    says: /wires the rooms together/,
  },
  {
    breach: 'a room that the table does not have',
    files: { 'packages/framework/src/attic/x.ts': `import { r } from '../repositories/mod.ts';` },
    says: /src\/attic has no place/,
  },
  {
    breach: 'a package that the table does not have',
    files: { 'packages/shed/src/x.ts': '' },
    says: /packages\/shed has no place/,
  },
  {
    breach: 'an import without .ts',
    files: { 'packages/protocol/src/x.ts': `import { a } from './a';` },
    says: /without \.ts/,
  },
  {
    breach: 'a dependency that is not declared',
    files: { 'packages/protocol/src/x.ts': `import { z } from 'zod/v4';` },
    says: /zod\/v4, which its package\.json does not declare/,
  },
  {
    breach: 'a program that uses what is for tests',
    files: { 'packages/protocol/src/x.ts': `import { made } from './testing/made.ts';` },
    says: /testing\/made\.ts, which is for tests/,
  },
  {
    breach: 'a name that says nothing',
    files: { 'packages/protocol/src/string-utils.ts': '' },
    says: /"utils" does not say/,
  },
  { breach: 'a name in camel case', files: { 'packages/protocol/src/someThing.ts': '' }, says: /not kebab-case/ },
];

async function breachesOf(files: Record<string, string>): Promise<string[]> {
  const root = await mkdtemp(join(tmpdir(), 'leonore-borders-'));
  try {
    for (const [path, text] of Object.entries(files)) {
      await mkdir(dirname(join(root, path)), { recursive: true });
      await writeFile(join(root, path), text);
    }
    return await findBreaches(root, BORDERS);
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

void test('a lawful tree has no breach', async () => {
  assert.deepEqual(await breachesOf(LAWFUL), []);
});

for (const { breach, files, says } of UNLAWFUL) {
  void test(`fails on ${breach}`, async () => {
    const found = await breachesOf({ ...LAWFUL, ...files });
    assert.equal(found.length, 1, `one breach expected, found: ${found.join('; ') || 'none'}`);
    assert.match(found[0] ?? '', says);
  });
}
