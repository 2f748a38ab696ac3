/** The search alone, on random clauses, against every assignment tried in turn. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { no, search as searching, yes, type Clause, type SearchInput, type SearchState } from './search.ts';
import { atOnce } from './work.ts';

const VARIABLES = 8;
const GROUPS = [
  [1, 2, 3],
  [4, 5],
];
const literal = fc.nat(VARIABLES * 2 - 1).map((index) => index + 2);
const clauses = fc
  .array(fc.uniqueArray(literal, { minLength: 1, maxLength: 4, selector: (one) => one >> 1 }), { maxLength: 30 })
  .map((lists): Clause[] => lists.map((literals, fact) => ({ literals, facts: [fact] })));

const search = (input: SearchInput) => atOnce(searching(input));

/** Decides the variables in their order, true first. */
function inputOf(list: readonly Clause[], rest: Partial<SearchInput> = {}): SearchInput {
  const decide = (state: SearchState): number => {
    for (let variable = 1; variable <= VARIABLES; variable++) if (state.value(variable) === 0) return yes(variable);
    return 0;
  };
  const always = { check: () => undefined, complete: () => 'accept' as const, stepLimit: 1e6 };
  return { variables: VARIABLES, groups: GROUPS, clauses: list, decide, ...always, ...rest };
}

function holds(list: readonly Clause[], values: readonly boolean[]): boolean {
  const one = (group: readonly number[]) => group.filter((variable) => values[variable]).length <= 1;
  return (
    GROUPS.every(one) && list.every(({ literals }) => literals.some((each) => values[each >> 1] === ((each & 1) === 0)))
  );
}

/** The first in the order that has variable 1 true before false, then 2, and so on. */
function first(list: readonly Clause[]): number[] | undefined {
  for (let bits = 0; bits < 2 ** VARIABLES; bits++) {
    const values = [false, ...Array.from({ length: VARIABLES }, (_, at) => (bits & (2 ** (VARIABLES - 1 - at))) === 0)];
    if (holds(list, values)) return values.flatMap((value, variable) => (value ? [variable] : []));
  }
  return undefined;
}

test('finds the first answer in the order of decisions, or none when there is none', () => {
  fc.assert(
    fc.property(clauses, (list) => {
      const result = search(inputOf(list));
      const expected = first(list);
      assert.equal(result.kind, expected ? 'model' : 'none');
      if (result.kind === 'model')
        assert.deepEqual(
          result.chosen.toSorted((a, b) => a - b),
          expected,
        );
    }),
    { numRuns: 2000 },
  );
});

test('the facts behind "none" leave no answer by themselves', () => {
  fc.assert(
    fc.property(clauses, (list) => {
      const result = search(inputOf(list));
      if (result.kind !== 'none') return;
      assert.equal(first(list.filter(({ facts }) => facts.every((fact) => result.facts.has(fact)))), undefined);
    }),
    { numRuns: 2000 },
  );
});

test('clauses that come to light on the way count like those known from the start', () => {
  fc.assert(
    fc.property(clauses, clauses, (known, late) => {
      const hidden = late.map((clause, index) => ({ ...clause, facts: [100 + index] }));
      const broken = (state: SearchState) =>
        hidden.find(({ literals }) => literals.every((one) => state.value(one >> 1) === ((one & 1) === 0 ? -1 : 1)));
      const atRest = search(inputOf(known, { check: broken }));
      const atEnd = search(inputOf(known, { complete: (state) => broken(state) ?? 'accept' }));
      const expected = first([...known, ...hidden]);
      for (const result of [atRest, atEnd]) {
        assert.equal(result.kind, expected ? 'model' : 'none');
        if (result.kind === 'model')
          assert.deepEqual(
            result.chosen.toSorted((a, b) => a - b),
            expected,
          );
        if (result.kind !== 'none') continue;
        const core = [...known, ...hidden].filter(({ facts }) => facts.every((fact) => result.facts.has(fact)));
        assert.equal(first(core), undefined);
      }
    }),
    { numRuns: 2000 },
  );
});

test('gives up past its limit', () => {
  const pigeons = 8;
  const at = (pigeon: number, hole: number) => pigeon * (pigeons - 1) + hole + 1;
  const holes = Array.from({ length: pigeons - 1 }, (_, hole) => hole);
  const list: Clause[] = [];
  for (let pigeon = 0; pigeon < pigeons; pigeon++) {
    list.push({ literals: holes.map((hole) => yes(at(pigeon, hole))), facts: [] });
    for (let other = 0; other < pigeon; other++) {
      for (const hole of holes) list.push({ literals: [no(at(pigeon, hole)), no(at(other, hole))], facts: [] });
    }
  }
  const variables = pigeons * (pigeons - 1);
  const decide = (state: SearchState): number => {
    for (let variable = 1; variable <= variables; variable++) if (state.value(variable) === 0) return yes(variable);
    return 0;
  };
  const input = inputOf(list, { variables, groups: [], decide });
  assert.equal(search({ ...input, stepLimit: 1000 }).kind, 'limit');
  assert.equal(search({ ...input, stepLimit: 1e9 }).kind, 'none');
});
