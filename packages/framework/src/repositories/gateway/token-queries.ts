/** Enrolment tokens: kept as hashes, used up one by one. */
import type { Selectable } from 'kysely';
import type { EnrolmentTokenRecord, GatewayRepository } from '../contract.ts';
import { type Db, type EnrolmentTokenTable, fromJson, toJson } from '../schema.ts';

type TokenQueries = Pick<GatewayRepository, 'insertToken' | 'listTokens' | 'removeToken' | 'redeemToken'>;

export function createTokenQueries(db: Db): TokenQueries {
  return {
    async insertToken(tenant, token) {
      await db
        .insertInto('enrolment_tokens')
        .values({
          tenant,
          id: token.id,
          token_hash: token.tokenHash,
          uses_left: token.usesLeft,
          labels: toJson(token.labels),
          created_at: token.createdAt,
          expires_at: token.expiresAt,
        })
        .execute();
    },
    async listTokens(tenant) {
      const rows = await db
        .selectFrom('enrolment_tokens')
        .selectAll()
        .where('tenant', '=', tenant)
        .orderBy('created_at')
        .orderBy('id')
        .execute();
      return rows.map(toRecord);
    },
    async removeToken(tenant, id) {
      const removed = await db
        .deleteFrom('enrolment_tokens')
        .where('tenant', '=', tenant)
        .where('id', '=', id)
        .returning('id')
        .executeTakeFirst();
      return removed !== undefined;
    },
    async redeemToken(tenant, tokenHash, now) {
      const row = await db
        .updateTable('enrolment_tokens')
        .set((eb) => ({ uses_left: eb('uses_left', '-', 1) }))
        .where('tenant', '=', tenant)
        .where('token_hash', '=', tokenHash)
        .where('uses_left', '>', 0)
        .where('expires_at', '>', now)
        .returningAll()
        .executeTakeFirst();
      return row && toRecord(row);
    },
  };
}

function toRecord(row: Selectable<EnrolmentTokenTable>): EnrolmentTokenRecord {
  return {
    id: row.id,
    usesLeft: row.uses_left,
    labels: fromJson(row.labels),
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    tokenHash: row.token_hash,
  };
}
