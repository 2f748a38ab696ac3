import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import { boardWord, factsSchema, gatewayProfileSchema, isReservedKey, labelsSchema, parseSelector } from './mod.ts';

/** Bounded by how many entries there may be and by the whole profile's size, where it is stored. */
const BOUNDED_ELSEWHERE = new Set(['capabilities', 'labels', 'attributes', 'attributes.*', 'attributes.key']);

/** Paths of all that may be as long as its sender likes. */
function unbounded(schema: unknown, path = ''): string[] {
  const node = schema as {
    type?: string;
    anyOf?: unknown[];
    enum?: unknown;
    maxLength?: number;
    pattern?: string;
    maxItems?: number;
    items?: unknown;
    properties?: Record<string, unknown>;
    additionalProperties?: unknown;
    propertyNames?: unknown;
  };
  const at = (part: string): string => (path === '' ? part : `${path}.${part}`);
  const found = [
    ...(node.anyOf ?? []).flatMap((one) => unbounded(one, path)),
    ...Object.entries(node.properties ?? {}).flatMap(([key, value]) => unbounded(value, at(key))),
  ];
  const endless = node.pattern === undefined || /(?<!\\)[*+](?!\?)/.test(node.pattern.replaceAll(/\[[^\]]*\]/g, 'x'));
  if (node.type === 'string' && node.enum === undefined && node.maxLength === undefined && endless) found.push(path);
  if (node.type === 'array')
    found.push(...(node.maxItems === undefined ? [path] : []), ...unbounded(node.items, at('[]')));
  if (typeof node.additionalProperties === 'object' && node.additionalProperties !== null) {
    found.push(
      ...unbounded(node.additionalProperties, at('*')),
      ...unbounded(node.propertyNames ?? {}, at('key')),
      path,
    );
  }
  return found;
}

void test('nothing in a profile may be as long as its sender likes', () => {
  const json = z.toJSONSchema(gatewayProfileSchema, { io: 'input', unrepresentable: 'any', reused: 'inline' });
  const paths = unbounded(inlined(json, json)).filter((path) => !BOUNDED_ELSEWHERE.has(path));
  // Their number is bounded by a refinement, which no JSON schema shows.
  assert.deepEqual(paths, ['facts']);
  const facts = Object.fromEntries(Array.from({ length: 101 }, (_, i) => [`k${i}`, i]));
  assert.equal(factsSchema.safeParse(facts).success, false);
});

function inlined(node: unknown, root: { $defs?: Record<string, unknown> }): unknown {
  if (Array.isArray(node)) return node.map((one) => inlined(one, root));
  if (typeof node !== 'object' || node === null) return node;
  const { $ref } = node as { $ref?: string };
  if ($ref !== undefined) return inlined(root.$defs?.[$ref.split('/').at(-1) ?? ''], root);
  return Object.fromEntries(Object.entries(node).map(([key, value]) => [key, inlined(value, root)]));
}

void test('takes facts of plain values under names that selectors can write', () => {
  for (const facts of [{ line: 7 }, { 'a.b_c-d': 'x'.repeat(255) }, { on: false }, {}])
    assert.ok(factsSchema.safeParse(facts).success, JSON.stringify(facts));
  for (const facts of [
    { 'a/b': 1 },
    { '': 1 },
    { ['x'.repeat(64)]: 1 },
    { a: 'x'.repeat(256) },
    { a: [1] },
    { a: null },
    { a: Number.POSITIVE_INFINITY },
  ])
    assert.ok(!factsSchema.safeParse(facts).success, JSON.stringify(facts));
  assert.equal(parseSelector(`fact/${'x'.repeat(63)}=7`).terms.length, 1);
});

void test('no label can stand for a fact or for what is installed', () => {
  for (const key of ['fact/line', 'app/svm']) {
    assert.ok(isReservedKey(key));
    assert.ok(!labelsSchema.safeParse({ [key]: '1' }).success);
  }
  assert.match(labelsSchema.safeParse({ 'fact/a': '1' }).error?.issues[0]?.message ?? '', /own facts/);
  assert.ok(labelsSchema.safeParse({ fact: '1', 'facts/a': '1' }).success);
});

void test('a board is named so that a selector can name it', () => {
  for (const [board, word] of [
    ['Raspberry Pi 4 Model B Rev 1.4', 'raspberry-pi-4-model-b-rev-1.4'],
    ['Dell Inc. OptiPlex 7010', 'dell-inc.-optiplex-7010'],
    ['BeagleBone Black, (A5A)!', 'beaglebone-black-a5a'],
  ] as const) {
    assert.equal(boardWord(board), word);
    assert.equal(parseSelector(`board=${word}`).terms.length, 1);
  }
  assert.equal(boardWord('測試'), '');
});
