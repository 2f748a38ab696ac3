import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { DEFAULT_TENANT, EMPTY_PROFILE, type GatewayId, isLeonoreError } from '@leonore/protocol';
import { openSqliteRepositories, type Repositories } from '../repositories/mod.ts';
import { createClassExplanation } from './class-explanation.ts';
import { NO_CHANGE } from './wanted.ts';

describe('explaining by classes', () => {
  /** The classes of ten gateways in a row. */
  const ARCHS = ['x64', 'arm', 'arm64', 'arm64', 'arm64', 'arm64', 'arm64', 'riscv64', 'x64', 'x64'];
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
          resolve: (_tenant, { profile }) => {
            solved.push(`${profile.arch}`);
            return Promise.resolve({ outcome: 'plan', plan: { steps: [], remove: [] } });
          },
        },
      },
      limits,
    );
    return run(DEFAULT_TENANT, selector, NO_CHANGE).then((answer) => ({ answer, solved }));
  }

  it('solves once for each class and counts every gateway, the largest class first', async () => {
    const { answer, solved } = await explain('*');
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

  it('says what it left out', async () => {
    const few = await explain('*', { gateways: 10_000, classes: 2 });
    assert.deepEqual(few.solved, ['x64', 'arm']);
    assert.equal(few.answer.cutOff, 'there are more than 2 classes: 600 gateways are in none of these');
    const short = await explain('*', { gateways: 350, classes: 200 });
    assert.equal(short.answer.cutOff, 'only the first 350 of 1000 gateways were looked at');
    assert.equal(
      short.answer.classes.reduce((sum, { gateways }) => sum + gateways, 0),
      350,
    );
    const exact = await explain('*', { gateways: 1000, classes: 4 });
    assert.equal(exact.answer.cutOff, undefined);
  });

  it('says when nobody is selected', async () => {
    await assert.rejects(explain('special=no'), (error) => isLeonoreError(error, 'selector.no-match'));
    await assert.rejects(explain('a b c'), (error) => isLeonoreError(error, 'selector.syntax'));
  });
});
