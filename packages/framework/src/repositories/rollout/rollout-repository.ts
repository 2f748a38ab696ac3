/** The rollout repository: rollouts, and the tasks they are made of. */
import type { RolloutRepository } from '../contract.ts';
import type { Db } from '../schema.ts';
import { createRolloutQueries } from './rollout-queries.ts';
import { createTaskQueries } from './task-queries.ts';

export function createRolloutRepository(db: Db): RolloutRepository {
  return { ...createRolloutQueries(db), ...createTaskQueries(db) };
}
