import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import {
  type ArtifactName,
  DEFAULT_TENANT,
  EMPTY_PROFILE,
  type GatewayId,
  isLeonoreError,
  type Resolution,
} from '@leonore/protocol';
import type { Answer } from '../dependency-management/mod.ts';
import { openSqliteRepositories, type Repositories } from '../repositories/mod.ts';
import { createClassExplanation } from './class-explanation.ts';
import { NO_CHANGE } from './wanted.ts';

/** There is a version that takes 50 bytes and one that takes 10. */
function answerFor(free = Infinity): Answer {
  const enough = [50, 10].find((bytes) => bytes <= free);
  const resolution: Resolution =
    enough === undefined
      ? { outcome: 'unsatisfiable', explanation: { summary: `${free} are too few`, facts: [], suggestions: [] } }
      : {
          outcome: 'plan',
          plan: { steps: [], remove: [{ name: 'a' as ArtifactName, version: `${enough}.0.0`, because: '' }] },
        };
  const holdsFor: Answer['holdsFor'] = ({ disk = Infinity } = {}) => [50, 10].find((bytes) => bytes <= disk) === enough;
  return { resolution, foundFor: {}, holdsFor };
}

describe('explaining by classes', () => {
  /** The classes of ten gateways in a row. */
  const ARCHS = ['x64', 'arm', 'arm64', 'arm64', 'arm64', 'arm64', 'arm64', 'riscv64', 'x64', 'x64'];
  /** Bytes of eight gateways in a row. */
  const FREE = [12, 60, 49, 61, 12, 62, 63, 3];
  let folder = '';
  let repositories: Repositories;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'leonore-classes-'));
    repositories = await openSqliteRepositories({ file: join(folder, 'leonore.db') });
    await repositories.write(async ({ gateways }) => {
      for (let i = 0; i < 1000; i++) {
        await gateways.insert(DEFAULT_TENANT, {
          id: `gw-${String(i).padStart(4, '0')}` as GatewayId,
          profile: { ...EMPTY_PROFILE, arch: ARCHS[i % 10] },
          labels: i === 7 ? { special: 'yes' } : {},
          origin: 'created',
          enrolledAt: 1,
          desired: [],
        });
      }
      for (let i = 0; i < 80; i++) {
        await gateways.insert(DEFAULT_TENANT, {
          id: `tight-${String(i).padStart(2, '0')}` as GatewayId,
          profile: { ...EMPTY_PROFILE, arch: 'x64', disk: { total: 100, free: FREE[i % 8] ?? 0 } },
          labels: { kind: 'tight' },
          origin: 'created',
          enrolledAt: 1,
          desired: [],
        });
      }
    });
  });
  after(async () => {
    await repositories[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  function explain(selector: string, limits?: { gateways: number; classes: number }) {
    const solved: string[] = [];
    const run = createClassExplanation(
      {
        repositories,
        planner: {
          classKey: ({ profile }) => `${profile.arch}`,
          resolveClass: (_tenant, { profile }) => {
            const { disk, arch } = profile;
            solved.push(disk ? `${arch} with ${disk.free}` : `${arch}`);
            return Promise.resolve(answerFor(disk?.free));
          },
        },
      },
      limits,
    );
    return run(DEFAULT_TENANT, selector, NO_CHANGE).then((answer) => ({ answer, solved }));
  }

  it('solves once for each class and counts every gateway, the largest class first', async () => {
    const { answer, solved } = await explain('!kind');
    assert.deepEqual(
      answer.classes.map(({ platform, gateways, example }) => [platform.arch, gateways, example]),
      [
        ['arm64', 500, 'gw-0002'],
        ['x64', 300, 'gw-0000'],
        ['arm', 100, 'gw-0001'],
        ['riscv64', 100, 'gw-0007'],
      ],
    );
    assert.deepEqual(solved.toSorted(), ['arm', 'arm64', 'riscv64', 'x64']);
    assert.equal(answer.gateways, 1000);
    assert.equal(answer.cutOff, undefined);
    assert.equal((await explain('special=yes')).answer.classes[0]?.example, 'gw-0007');
  });

  it('solves again for those that have too little for what the others get, once for all that get the same', async () => {
    const { answer, solved } = await explain('kind=tight');
    // The first of them has little; its answer does for all that have less than the larger version takes.
    assert.deepEqual(solved, ['x64 with 12', 'x64 with 60', 'x64 with 3']);
    assert.deepEqual(
      answer.classes.map(({ gateways, example, resolution }) => [gateways, example, resolution.outcome]),
      [
        [40, 'tight-01', 'plan'],
        [30, 'tight-00', 'plan'],
        [10, 'tight-07', 'unsatisfiable'],
      ],
    );
    const short = await explain('kind=tight', { gateways: 10_000, classes: 2 });
    assert.equal(short.solved.length, 2);
    assert.equal(short.answer.cutOff, 'there are more than 2 classes: 10 gateways are in none of these');
  });

  it('says what it left out', async () => {
    const few = await explain('!kind', { gateways: 10_000, classes: 2 });
    assert.deepEqual(few.solved, ['x64', 'arm']);
    assert.equal(few.answer.cutOff, 'there are more than 2 classes: 600 gateways are in none of these');
    const short = await explain('!kind', { gateways: 350, classes: 200 });
    assert.equal(short.answer.cutOff, 'only the first 350 of 1000 gateways were looked at');
    assert.equal(
      short.answer.classes.reduce((sum, { gateways }) => sum + gateways, 0),
      350,
    );
    const exact = await explain('!kind', { gateways: 1000, classes: 4 });
    assert.equal(exact.answer.cutOff, undefined);
  });

  it('says when nobody is selected', async () => {
    await assert.rejects(explain('special=no'), (error) => isLeonoreError(error, 'selector.no-match'));
    await assert.rejects(explain('a b c'), (error) => isLeonoreError(error, 'selector.syntax'));
  });
});
