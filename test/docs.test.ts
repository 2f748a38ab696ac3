/** Docs that are made from code are as the code is; links between docs lead somewhere. */
import assert from 'node:assert/strict';
import { readdir, readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ERROR_REFERENCE, errorReference } from '../scripts/error-reference.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

it('the error reference is the table', async () => {
  assert.equal(await readFile(ERROR_REFERENCE, 'utf8'), errorReference(), 'run npm run docs:errors');
});

it('links in the docs lead to files that exist', async () => {
  const top = (await readdir(ROOT)).filter((name) => name.endsWith('.md'));
  const docs = (await readdir(join(ROOT, 'docs'), { recursive: true }))
    .filter((name) => name.endsWith('.md'))
    .map((name) => join('docs', name));
  assert.ok(top.includes('README.md') && top.includes('ARCHITECTURE.md'));
  const broken: string[] = [];
  for (const doc of [...top, ...docs]) {
    const text = await readFile(join(ROOT, doc), 'utf8');
    for (const [, target = ''] of text.matchAll(/\]\((?!https?:|#)([^)#\s]+)/g)) {
      await stat(join(ROOT, dirname(doc), target)).catch(() => broken.push(`${doc}: ${target}`));
    }
  }
  assert.deepEqual(broken, []);
});

it('the table of gateways names tests and benchmarks that exist', async () => {
  const text = await readFile(join(ROOT, 'docs/gateways.md'), 'utf8');
  const { scripts } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as { scripts: object };
  const names = [...text.matchAll(/`([^`\n]+\.ts)`/g)].map(([, name = '']) => name);
  const benches = [...text.matchAll(/`npm run ([\w:]+)`/g)].map(([, name = '']) => name);
  assert.ok(names.length > 20 && benches.length > 5, 'the tables are there');
  const missing = benches.filter((name) => !Object.hasOwn(scripts, name));
  for (const name of new Set(names)) {
    assert.match(name, /\.test\.ts$/, 'what shows something is a test');
    await stat(join(ROOT, name)).catch(() => missing.push(name));
  }
  assert.deepEqual(missing, []);
});
