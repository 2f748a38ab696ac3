import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ERRORS, type ErrorCode, LeonoreError } from '@leonore/protocol';
import { describeFailure, exitCodeOf } from './failure.ts';
import { Interrupted } from './terminal.ts';

const hint = (url: string) => describeFailure(new LeonoreError('server.unreachable', 'x', { details: { url } })).hint;

describe('exit codes', () => {
  it('say what kind of failure it was', () => {
    const expected: Partial<Record<ErrorCode, number>> = {
      'cli.usage': 2,
      'selector.syntax': 2,
      'selector.unknown-key': 2,
      'config.invalid': 2,
      'request.invalid': 2,
      'gateway.unknown': 3,
      'artifact.unknown': 3,
      'package.unknown': 3,
      'rollout.unknown': 3,
      'token.unknown': 3,
      'task.unknown': 3,
      'auth.missing': 4,
      'auth.wrong': 4,
      'auth.forbidden': 4,
      'server.unreachable': 5,
      'server.stopping': 5,
      'manifest.invalid': 1,
      'plan.unsatisfiable': 1,
      'artifact.conflict': 1,
      'selector.no-match': 1,
      'server.internal': 1,
      'rollout.state': 1,
    };
    for (const [code, exitCode] of Object.entries(expected)) {
      assert.equal(exitCodeOf(new LeonoreError(code as ErrorCode, 'x')), exitCode, code);
    }
    for (const code of Object.keys(ERRORS))
      assert.ok([1, 2, 3, 4, 5].includes(exitCodeOf(new LeonoreError(code as ErrorCode, 'x'))));
  });

  it('an interruption has its own, also when it lies under an AbortError, and says nothing', () => {
    assert.deepEqual(describeFailure(new Interrupted(130)), { exitCode: 130 });
    assert.deepEqual(describeFailure(new Error('aborted', { cause: new Interrupted(143) })), { exitCode: 143 });
  });

  it('the hint for a node that is away depends on where it should be', () => {
    assert.match(hint('http://127.0.0.1:8080') ?? '', /leonore node/);
    assert.doesNotMatch(hint('https://far.example') ?? '', /leonore node/);
  });
});
