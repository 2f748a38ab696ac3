/**
 * A conflict-driven search over clauses (CDCL: unit propagation over two watched literals, first-UIP learning,
 * back-jumping), made for finding the preferred answer rather than any.
 *
 * Invariants: a decision is always the literal `decide` prefers now, and what it is asked follows from the decisions
 * before it. Learned clauses only rule out what has no answer. So when the search ends, each decision was the best that
 * the decisions before it leave possible: the answer is the first one that plain backtracking would find.
 *
 * Literals: variable v is 2v when true and 2v+1 when false; `literal ^ 1` is the opposite. Variables count from 1.
 * Each clause names the facts it stands on and each learned clause the clauses it came from, so "no" comes with reasons.
 */
import { STEPS_PER_PIECE, type Work } from './work.ts';

export interface Clause {
  readonly literals: readonly number[];
  /** Indices of the facts without which the clause would not hold; none for what holds by construction. */
  readonly facts: readonly number[];
  /** For clauses found on the way (cycles, budgets): the variables that show it. */
  readonly evidence?: readonly number[];
}

export interface SearchInput {
  readonly variables: number;
  /** Of each group at most one variable is true. Groups do not overlap. */
  readonly groups: readonly (readonly number[])[];
  readonly clauses: Iterable<Clause>;
  /** The next literal to try, 0 when nothing is open. */
  decide(state: SearchState): number;
  /** A clause that is false under the present assignment, when there is one. Asked whenever propagation rests. */
  check(state: SearchState): Clause | undefined;
  /** Asked when nothing is open: accept, go on with a literal, or a clause that is false now. Unassigned counts as false. */
  complete(state: SearchState): 'accept' | number | Clause;
  /** Work units (clauses looked at) after which the search gives up. */
  readonly stepLimit: number;
}

export interface SearchState {
  /** 1 true, -1 false, 0 open. */
  value(variable: number): number;
  /** The variables that are true, in the order they became so. */
  readonly chosen: readonly number[];
}

export type SearchResult =
  | { readonly kind: 'model'; readonly chosen: readonly number[]; readonly steps: number }
  | {
      readonly kind: 'none';
      readonly facts: ReadonlySet<number>;
      readonly found: readonly Clause[];
      readonly steps: number;
    }
  | { readonly kind: 'limit'; readonly steps: number };

export const yes = (variable: number): number => variable * 2;
export const no = (variable: number): number => variable * 2 + 1;
/** One for the many: the collector's pauses grow with what is kept. */
export const NONE: readonly never[] = Object.freeze([]);
const variableOf = (literal: number): number => literal >> 1;

interface Node {
  /** The two watched literals are at 0 and 1. */
  readonly literals: number[];
  readonly facts: readonly number[];
  readonly evidence: readonly number[] | undefined;
  readonly from: readonly Node[];
}

/** Pauses after each decision and conflict, and in long chains of consequences. */
export function* search(input: SearchInput): Work<SearchResult> {
  const { variables, groups, stepLimit } = input;
  const values = new Int8Array(variables + 1);
  const levels = new Int32Array(variables + 1);
  const reasons: (Node | undefined)[] = Array.from({ length: variables + 1 });
  const seen = new Uint8Array(variables + 1);
  const watches: (Node[] | undefined)[] = Array.from({ length: variables * 2 + 2 });
  const groupOf: (readonly number[] | undefined)[] = Array.from({ length: variables + 1 });
  for (const group of groups) for (const variable of group) groupOf[variable] = group;
  const trail: number[] = [];
  const chosen: number[] = [];
  const levelStarts: number[] = [];
  const state: SearchState = { value: (variable) => values[variable] as number, chosen };
  let next = 0;
  let steps = 0;
  let stepsTold = 0;

  /** 1 true, -1 false, 0 open. */
  function truth(literal: number): number {
    const value = values[literal >> 1] as number;
    return literal & 1 ? -value : value;
  }

  function assign(literal: number, reason: Node | undefined): void {
    const variable = variableOf(literal);
    values[variable] = literal & 1 ? -1 : 1;
    levels[variable] = levelStarts.length;
    reasons[variable] = reason;
    trail.push(literal);
    if ((literal & 1) === 0) chosen.push(variable);
  }

  function watch(literal: number, node: Node): void {
    const watching = watches[literal];
    if (watching) watching.push(node);
    else watches[literal] = [node];
  }

  function attach(node: Node): void {
    if (node.literals.length < 2) return;
    watch(node.literals[0] as number, node);
    watch(node.literals[1] as number, node);
  }

  function backTo(level: number): void {
    const start = levelStarts[level];
    if (start === undefined) return;
    for (let at = trail.length - 1; at >= start; at--) {
      const literal = trail[at] as number;
      values[variableOf(literal)] = 0;
      reasons[variableOf(literal)] = undefined;
      if ((literal & 1) === 0) chosen.pop();
    }
    trail.length = start;
    levelStarts.length = level;
    next = start;
  }

  /** What was done since it was told last. */
  function stepsDone(): number {
    const done = steps - stepsTold;
    stepsTold = steps;
    return done;
  }

  /** Draws consequences, all of them unless it is time for a pause; the clause that became false, when one did. */
  function propagate(): Node | undefined {
    while (next < trail.length && steps - stepsTold < STEPS_PER_PIECE) {
      const literal = trail[next++] as number;
      const conflict = (literal & 1 ? undefined : propagateGroup(variableOf(literal))) ?? propagateWatches(literal ^ 1);
      if (conflict) return conflict;
    }
    return undefined;
  }

  function propagateGroup(variable: number): Node | undefined {
    for (const other of groupOf[variable] ?? []) {
      if (other === variable || values[other] === -1) continue;
      const node: Node = { literals: [no(other), no(variable)], facts: NONE, evidence: undefined, from: NONE };
      if (values[other] === 1) return node;
      assign(no(other), node);
    }
    return undefined;
  }

  function propagateWatches(falsified: number): Node | undefined {
    const watching = watches[falsified];
    if (!watching) return undefined;
    let kept = 0;
    for (let at = 0; at < watching.length; at++) {
      const node = watching[at] as Node;
      steps++;
      const { literals } = node;
      if (literals[0] === falsified) {
        literals[0] = literals[1] as number;
        literals[1] = falsified;
      }
      const other = literals[0] as number;
      if (truth(other) !== 1 && rewatch(node)) continue;
      watching[kept++] = node;
      if (truth(other) === 1) continue;
      if (truth(other) === -1) {
        while (++at < watching.length) watching[kept++] = watching[at] as Node;
        watching.length = kept;
        return node;
      }
      assign(other, node);
    }
    watching.length = kept;
    return undefined;
  }

  function rewatch(node: Node): boolean {
    const { literals } = node;
    for (let at = 2; at < literals.length; at++) {
      const literal = literals[at] as number;
      if (truth(literal) === -1) continue;
      literals[at] = literals[1] as number;
      literals[1] = literal;
      watch(literal, node);
      return true;
    }
    return false;
  }

  /** Resolves the conflict back to the first literal that alone, at this level, implies it. */
  function learn(conflict: Node): Node {
    const level = levelStarts.length;
    const from = [conflict];
    const rest: number[] = [];
    const touched: number[] = [];
    let open = 0;
    let at = trail.length;
    let node = conflict;
    let pivot: number;
    for (;;) {
      for (const literal of node.literals) {
        const variable = variableOf(literal);
        if (seen[variable] === 1) continue;
        seen[variable] = 1;
        touched.push(variable);
        if (levels[variable] === level) open++;
        else if ((levels[variable] as number) > 0) rest.push(literal);
      }
      do pivot = trail[--at] as number;
      while (seen[variableOf(pivot)] !== 1);
      if (--open === 0) break;
      node = reasons[variableOf(pivot)] as Node;
      from.push(node);
    }
    const needed = rest.filter((literal) => !impliedByOthers(literal, from));
    for (const variable of touched) seen[variable] = 0;
    needed.sort((a, b) => (levels[variableOf(b)] as number) - (levels[variableOf(a)] as number));
    return { literals: [pivot ^ 1, ...needed], facts: [], evidence: undefined, from };
  }

  /** A literal whose reason is made of others in the learned clause adds nothing to it. */
  function impliedByOthers(literal: number, from: Node[]): boolean {
    const reason = reasons[variableOf(literal)];
    if (!reason) return false;
    for (const other of reason.literals) {
      const variable = variableOf(other);
      if (seen[variable] !== 1 && levels[variable] !== 0) return false;
    }
    from.push(reason);
    return true;
  }

  /** Every fact the conflict stands on, once nothing is decided any more. */
  function reasonsOf(conflict: Node): SearchResult {
    const facts = new Set<number>();
    const found = new Set<Clause>();
    const visited = new Set<Node>([conflict]);
    for (const node of visited) {
      for (const fact of node.facts) facts.add(fact);
      if (node.evidence) found.add({ literals: node.literals, facts: node.facts, evidence: node.evidence });
      for (const origin of node.from) visited.add(origin);
      for (const literal of node.literals) {
        const variable = variableOf(literal);
        const reason = reasons[variable];
        if (reason && levels[variable] === 0) visited.add(reason);
      }
    }
    return { kind: 'none', facts, found: [...found], steps };
  }

  /** Learns from a clause that is false now and takes back what led there; false when nothing is left to take back. */
  function recover(conflict: Node): boolean {
    let top = 0;
    for (const literal of conflict.literals) top = Math.max(top, levels[variableOf(literal)] as number);
    if (top === 0) return false;
    backTo(top);
    const learned = learn(conflict);
    const second = learned.literals[1];
    backTo(second === undefined ? 0 : (levels[variableOf(second)] as number));
    attach(learned);
    assign(learned.literals[0] as number, learned);
    return true;
  }

  for (const clause of input.clauses) {
    const node = nodeOf(clause);
    attach(node);
    steps++;
    if (steps - stepsTold >= STEPS_PER_PIECE) yield stepsDone();
    const only = node.literals.length === 1 ? (node.literals[0] as number) : undefined;
    if (only === undefined) continue;
    if (truth(only) === -1) return reasonsOf(node);
    if (truth(only) === 0) assign(only, node);
  }

  for (;;) {
    let conflict = propagate();
    if (steps > stepLimit) return { kind: 'limit', steps };
    yield stepsDone();
    if (!conflict && next < trail.length) continue;
    if (!conflict) {
      const broken = input.check(state);
      if (broken) conflict = nodeOf(broken);
    }
    if (!conflict) {
      let literal = input.decide(state);
      if (literal === 0) {
        const verdict = input.complete(state);
        if (verdict === 'accept') return { kind: 'model', chosen: [...chosen], steps };
        if (typeof verdict === 'number') literal = verdict;
        else conflict = nodeOf(verdict);
      }
      if (!conflict) {
        steps++;
        levelStarts.push(trail.length);
        assign(literal, undefined);
      }
    }
    if (conflict) {
      if (!recover(conflict)) return reasonsOf(conflict);
      steps += conflict.literals.length;
    }
  }
}

function nodeOf({ literals, facts, evidence }: Clause): Node {
  return { literals: [...literals], facts, evidence, from: NONE };
}
