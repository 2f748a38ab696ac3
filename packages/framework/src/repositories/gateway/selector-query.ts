/** A selector's terms as conditions over gateway_facts; means the same as `matchesSelector` of the protocol. */
import type { GatewayId, SelectorTerm, Tenant } from '@leonore/protocol';
import { sql, type Expression, type ExpressionBuilder, type SqlBool } from 'kysely';
import type { Tables } from '../schema.ts';
import { isComparable } from './facts.ts';

type Gateways = ExpressionBuilder<Tables, 'gateways'>;

export function matchesTerm(eb: Gateways, tenant: Tenant, term: SelectorTerm): Expression<SqlBool> {
  if (term.key === 'id') return matchesId(eb, term);
  switch (term.kind) {
    case 'in':
    case 'exists':
      return hasFact(eb, tenant, term);
    case 'notin':
    case 'missing':
      return eb.not(hasFact(eb, tenant, term));
    default:
      return term satisfies never;
  }
}

/** Every gateway has an id. */
function matchesId(eb: Gateways, term: SelectorTerm): Expression<SqlBool> {
  switch (term.kind) {
    case 'in':
      return eb('gateways.id', 'in', term.values as readonly GatewayId[]);
    case 'notin':
      return eb('gateways.id', 'not in', term.values as readonly GatewayId[]);
    case 'exists':
      return sql<SqlBool>`1 = 1`;
    case 'missing':
      return sql<SqlBool>`1 = 0`;
    default:
      return term satisfies never;
  }
}

function hasFact(
  eb: Gateways,
  tenant: Tenant,
  { key, values }: { readonly key: string; readonly values?: readonly string[] },
): Expression<SqlBool> {
  const comparable = values?.filter(isComparable);
  if (comparable?.length === 0) return sql<SqlBool>`1 = 0`;
  return eb.exists(
    eb
      .selectFrom('gateway_facts as fact')
      .select(eb.lit(1).as('one'))
      .where('fact.tenant', '=', tenant)
      .whereRef('fact.gateway_id', '=', 'gateways.id')
      .where('fact.key', '=', key)
      .$if(comparable !== undefined, (query) => query.where('fact.value', 'in', comparable ?? [])),
  );
}
