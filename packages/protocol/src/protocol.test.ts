import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  artifactManifestSchema,
  bytesSchema,
  canMove,
  ERRORS,
  formatSleep,
  fromProblem,
  gatewayIdSchema,
  gatewayProfileSchema,
  gatewayTopic,
  isTerminal,
  labelsSchema,
  LeonoreError,
  mergePatch,
  parseGatewayTopic,
  parseSleep,
  runSchema,
  taskStateSchema,
  tenantSchema,
  toProblem,
  type ErrorCode,
} from './mod.ts';

describe('merge patch (RFC 7396)', () => {
  // The examples of appendix A.
  const cases: [unknown, unknown, unknown][] = [
    [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
    [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
    [{ a: 'b' }, { a: null }, {}],
    [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
    [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
    [
      ['a', 'b'],
      ['c', 'd'],
      ['c', 'd'],
    ],
    [{ a: 'foo' }, null, null],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ];
  for (const [target, patch, result] of cases) {
    it(`${JSON.stringify(target)} + ${JSON.stringify(patch)}`, () =>
      assert.deepEqual(mergePatch(target, patch), result));
  }
  it('does not reach the prototype of objects', () => {
    mergePatch({}, JSON.parse('{"__proto__":{"polluted":true}}'));
    assert.equal(({} as { polluted?: boolean }).polluted, undefined);
  });
});

describe('topics', () => {
  it('carry any gateway id there and back, in one level', () => {
    const tenant = tenantSchema.parse('default');
    const ids = fc
      .string({ unit: 'grapheme', minLength: 1, maxLength: 40 })
      .filter((id) => gatewayIdSchema.safeParse(id).success);
    fc.assert(
      fc.property(ids, (text) => {
        const id = gatewayIdSchema.parse(text);
        const topic = gatewayTopic(tenant, id, 'report');
        assert.equal(topic.split('/').length, 6);
        assert.doesNotMatch(topic, /[+#$]/);
        assert.deepEqual(parseGatewayTopic(topic), { tenant, id, channel: 'report' });
      }),
    );
  });
  it('are exact: another spelling of the same id is none', () => {
    assert.equal(parseGatewayTopic('leonore/v1/default/gateways/a%62/report'), undefined);
    assert.equal(parseGatewayTopic('leonore/v1/DEFAULT/gateways/ab/report'), undefined);
    assert.equal(parseGatewayTopic('leonore/v1/default/gateways/ab/report/x'), undefined);
    assert.equal(parseGatewayTopic('leonore/v1/default/gateways/%E0%A4%A/report'), undefined);
  });
});

describe('task states', () => {
  it('go forwards only, and a terminal one stands', () => {
    for (const from of taskStateSchema.options) {
      for (const to of taskStateSchema.options) {
        if (isTerminal(from)) assert.equal(canMove(from, to), false, `${from} -> ${to}`);
        if (canMove(from, to)) assert.equal(canMove(to, from), false, `${from} <-> ${to}`);
      }
      if (!isTerminal(from))
        for (const end of ['succeeded', 'failed', 'rejected', 'canceled'] as const) assert.ok(canMove(from, end));
    }
  });
});

describe('sleep times', () => {
  it('are 8 characters and read back', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 86_399 }), (seconds) => {
        const text = formatSleep(seconds);
        assert.equal(text.length, 8);
        assert.equal(parseSleep(text), seconds);
      }),
    );
    assert.equal(formatSleep(0), '00:00:01');
    assert.equal(formatSleep(1e9), '23:59:59');
    assert.equal(parseSleep('5 minutes'), undefined);
  });
});

describe('amounts of bytes', () => {
  it('are read with their units', () => {
    assert.equal(bytesSchema.parse('64MiB'), 64 * 2 ** 20);
    assert.equal(bytesSchema.parse('1.5 kB'), 1500);
    assert.equal(bytesSchema.parse(12), 12);
    assert.match(bytesSchema.safeParse('lots').error?.issues[0]?.message ?? '', /write it like 64MiB/);
  });
});

describe('the manifest schema', () => {
  const minimal = { name: 'svm', version: '1.2.28' };
  it('reads what its own output says, and leaves what is not said of `run` out', () => {
    const plain = runSchema.parse({});
    assert.deepEqual(Object.keys(plain).toSorted(), [
      'env',
      'healthIntervalSeconds',
      'healthTimeoutSeconds',
      'restart',
      'stopTimeoutSeconds',
    ]);
    const full = runSchema.parse({
      limits: { cpu: 0.5, memory: '64MiB', processes: 50 },
      health: { tcp: { port: 502 }, http: { port: 80 } },
      user: 'root',
      executor: 'oci',
      oci: { rootfs: 'images/rootfs.tar' },
    });
    assert.deepEqual(runSchema.parse(full), full);
    assert.equal(full.limits?.memory, 64 * 2 ** 20);
    assert.deepEqual(full.health, {
      tcp: { port: 502, host: '127.0.0.1' },
      http: { port: 80, path: '/', host: '127.0.0.1', https: false },
      timeoutSeconds: 10,
      failures: 3,
      restart: true,
    });
  });

  it('fills in defaults', () => {
    const manifest = artifactManifestSchema.parse(minimal);
    assert.deepEqual(manifest.requires, { artifacts: {}, capabilities: {}, resources: {} });
    assert.equal(manifest.run, undefined);
  });
  it('takes what it gave: parsing twice changes nothing', () => {
    const once = artifactManifestSchema.parse({ ...minimal, requires: { resources: { memory: '64MiB' } }, run: {} });
    assert.deepEqual(artifactManifestSchema.parse(once), once);
  });
  for (const [change, path] of [
    [{ version: '1.2' }, 'version'],
    [{ name: 'SVM' }, 'name'],
    [{ installPath: '/opt/../etc' }, 'installPath'],
    // It would break the lines of the package's path file.
    [{ installPath: '/opt/a\tb' }, 'installPath'],
    [{ requires: { artifacts: { svm: '*' } } }, 'requires.artifacts.svm'],
    [{ requires: { artifacts: { lib: 'not a range' } } }, 'requires.artifacts.lib'],
    [{ platform: { cpu: 'arm' } }, 'platform'],
    [{ run: { restart: 'sometimes' } }, 'run.restart'],
  ] as const) {
    it(`refuses ${JSON.stringify(change)} at ${path}`, () => {
      const parsed = artifactManifestSchema.safeParse({ ...minimal, ...change });
      assert.ok(
        parsed.error?.issues.some((issue) => issue.path.join('.') === path),
        JSON.stringify(parsed.error?.issues),
      );
    });
  }
});

describe('errors', () => {
  it('travel as problem+json and come back the same', () => {
    for (const code of Object.keys(ERRORS) as ErrorCode[]) {
      const error = new LeonoreError(code, 'words', { details: { a: 1 } });
      const back = fromProblem(error.status, JSON.parse(JSON.stringify(toProblem(error))));
      assert.deepEqual([back.code, back.message, back.details], [code, 'words', { a: 1 }]);
    }
  });
  it("say what a proxy's page means", () => {
    assert.equal(fromProblem(502, '<html>').code, 'server.unreachable');
    assert.equal(fromProblem(401, '').code, 'auth.wrong');
  });
});

describe('labels', () => {
  it('cannot say what is installed, and say so in words', () => {
    assert.ok(labelsSchema.safeParse({ site: 'vienna', 'a/b': '1', apple: 'x', 'App/svm': '1' }).success);
    const refused = labelsSchema.safeParse({ 'app/svm': '1.2.28' });
    assert.equal(
      refused.error?.issues[0]?.message,
      'keys that begin with app/ say what is installed; choose another name for a label',
    );
    assert.match(labelsSchema.safeParse({ 'a b': 'x' }).error?.issues[0]?.message ?? '', /a label key is/);
    assert.equal(gatewayProfileSchema.safeParse({ labels: { 'app/svm': '1' } }).success, false);
  });
});
