/** A selector's terms as conditions over gateway_facts; means the same as `matchesSelector` of the protocol. */
import type { GatewayId, SelectorTerm, Tenant } from '@leonore/protocol';
import { type Expression, type ExpressionBuilder, type SqlBool, sql } from 'kysely';
import type { Tables } from '../schema.ts';
import { isComparable } from './facts.ts';

type Gateways = ExpressionBuilder<Tables, 'gateways'>;

const ALWAYS = sql<SqlBool>`1 = 1`;
const NEVER = sql<SqlBool>`1 = 0`;

export function matchesTerm(eb: Gateways, tenant: Tenant, term: SelectorTerm): Expression<SqlBool> {
  if (term.key === 'id') return matchesId(eb, term);
  switch (term.kind) {
    case 'in':
    case 'exists':
      return hasFact(eb, tenant, term);
    case 'notin':
    case 'missing':
      return lacksFact(eb, tenant, term);
    default:
      return term satisfies never;
  }
}

/** Every gateway has an id. */
function matchesId(eb: Gateways, term: SelectorTerm): Expression<SqlBool> {
  switch (term.kind) {
    case 'in':
      return isUnmatchable(term) ? NEVER : eb('gateways.id', 'in', comparable(term.values) as readonly GatewayId[]);
    case 'notin':
      return isUnmatchable(term)
        ? ALWAYS
        : eb('gateways.id', 'not in', comparable(term.values) as readonly GatewayId[]);
    case 'exists':
      return ALWAYS;
    case 'missing':
      return NEVER;
    default:
      return term satisfies never;
  }
}

/**
 * The two forms are not each other's `not` for a reason: SQLite makes a join of a positive `exists` and then a quadratic one
 * of a page (51 s for 20,000 gateways), PostgreSQL keeps a `not in` of many rows as a list. These two are good on both.
 */
function hasFact(eb: Gateways, tenant: Tenant, wanted: WantedFact): Expression<SqlBool> {
  if (isUnmatchable(wanted)) return NEVER;
  return eb('gateways.id', 'in', facts(eb, tenant, wanted).select('fact.gateway_id'));
}

function lacksFact(eb: Gateways, tenant: Tenant, wanted: WantedFact): Expression<SqlBool> {
  if (isUnmatchable(wanted)) return ALWAYS;
  return eb.not(
    eb.exists(facts(eb, tenant, wanted).select('fact.gateway_id').whereRef('fact.gateway_id', '=', 'gateways.id')),
  );
}

interface WantedFact {
  readonly key: string;
  /** Any value when absent. */
  readonly values?: readonly string[];
}

function isUnmatchable({ values }: WantedFact): boolean {
  return values?.some(isComparable) === false;
}

function comparable(values: readonly string[]): readonly string[] {
  return values.filter(isComparable);
}

function facts(eb: Gateways, tenant: Tenant, { key, values }: WantedFact) {
  const query = eb.selectFrom('gateway_facts as fact').where('fact.tenant', '=', tenant).where('fact.key', '=', key);
  return values === undefined ? query : query.where('fact.value', 'in', comparable(values));
}
