/** Real scripts in real folders: good ones, and every kind of bad one. */
import assert from 'node:assert/strict';
import { chmod, chown, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { factsSchema } from '@leonore/protocol';
import { temporaryFolder } from '../test-support/temporary-folder.ts';
import { until } from '../test-support/waiting.ts';
import { createFactsFolder, parseFacts } from './facts-folder.ts';

interface Bench extends AsyncDisposable {
  readonly dir: string;
  readonly warnings: { readonly file: string; readonly why: string }[];
  script(name: string, text: string): Promise<void>;
  put(name: string, text: string, mode?: number): Promise<void>;
  read(signal?: AbortSignal): Promise<Record<string, unknown>>;
  why(name: string): string | undefined;
}

async function bench(timeoutMs = 10_000): Promise<Bench> {
  const folder = await temporaryFolder();
  const warnings: { file: string; why: string }[] = [];
  const none = (): void => undefined;
  const logger = {
    debug: none,
    info: none,
    error: none,
    warn: (_: string, details?: object) => void warnings.push(details as { file: string; why: string }),
  };
  const facts = createFactsFolder({ dir: folder.path, logger, timeoutMs });
  const put = async (name: string, text: string, mode = 0o644): Promise<void> => {
    await writeFile(join(folder.path, name), text);
    await chmod(join(folder.path, name), mode);
  };
  return {
    dir: folder.path,
    warnings,
    put,
    script: (name, text) => put(name, `#!/bin/sh\n${text}\n`, 0o755),
    read: (signal) => facts.read(signal),
    why: (name) => warnings.find(({ file }) => file === join(folder.path, name))?.why,
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

void test('takes JSON and lines from programs and files; the later file counts', async () => {
  await using folder = await bench();
  await folder.script('10-meter', `echo '{"power": 231.5, "phases": 3, "on": true, "line": "7", "gone": null}'`);
  await folder.script('20-shell', 'echo "# a comment"; echo; echo "room = B 12"; echo "version=1.10"; echo "eq=a=b"');
  await folder.put('30-static.json', '{"line": 8}');
  await folder.put('40-static.txt', 'owner=acme\n');
  assert.deepEqual(await folder.read(), {
    eq: 'a=b',
    line: 8,
    on: true,
    owner: 'acme',
    phases: 3,
    power: 231.5,
    room: 'B 12',
    version: '1.10',
  });
  assert.deepEqual(folder.warnings, []);
});

void test('what hangs, floods, fails or is no program harms itself only, and is named once', async () => {
  await using folder = await bench(1000);
  await folder.script('10-hangs', 'trap "" TERM; echo half=1; sleep 600');
  await folder.script('20-floods', 'while :; do echo "key=0123456789012345678901234567890123456789"; done');
  await folder.script('30-fails', 'echo a=1; echo "no such meter" >&2; exit 3');
  await folder.put('40-garbage', '\u0000\u0001\u0002\u007fnothing that starts', 0o755);
  await folder.put('50-no-program', 'a=1\n');
  await folder.put('60-broken.json', '{"a": ');
  await folder.put('70-long.txt', `a=${'x'.repeat(20_000)}`);
  await folder.script('75-chatters', 'echo hello world');
  await mkdir(join(folder.dir, '80-folder'));
  await folder.put('85-nothing', '#!/no/such/interpreter\n', 0o755);
  await folder.script('90-good', 'echo good=yes');
  const begun = performance.now();
  assert.deepEqual(await folder.read(), { good: 'yes' });
  assert.ok(performance.now() - begun < 20_000);
  for (const [name, why] of [
    ['10-hangs', /did not end within 1 s/],
    ['20-floods', /said more than 16 KiB|did not end/],
    ['30-fails', /exit code 3: no such meter/],
    ['40-garbage', /cannot be executed|exit code|neither/],
    ['50-no-program', /neither executable/],
    ['60-broken.json', /no JSON/],
    ['70-long.txt', /longer than 16 KiB/],
    ['75-chatters', /neither a JSON object nor NAME=VALUE lines: "hello world"/],
    ['80-folder', /is no file/],
    ['85-nothing', /cannot be executed/],
  ] as const)
    assert.match(folder.why(name) ?? 'nothing', why, name);
  assert.equal(folder.warnings.length, 10);
  await folder.read();
  assert.equal(folder.warnings.length, 10, 'each is named once');
  await rm(join(folder.dir, '30-fails'));
  await folder.read();
  await folder.script('30-fails', 'exit 3');
  await folder.read();
  assert.equal(folder.warnings.length, 11, 'one that came back is named again');
});

void test('kills what a script leaves running, and does not wait for it', async () => {
  await using folder = await bench();
  await folder.script('10-forks', `sleep 600 & echo $! > "${join(folder.dir, '.pid')}"; echo done=yes`);
  const begun = performance.now();
  assert.deepEqual(await folder.read(), { done: 'yes' });
  assert.ok(performance.now() - begun < 5000);
  const { readFile } = await import('node:fs/promises');
  const pid = Number(await readFile(join(folder.dir, '.pid'), 'utf8'));
  await until('it is gone', async () => {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
    return stat === '' || / Z /.test(stat);
  });
});

void test('ends with the agent, and then says nothing', async () => {
  await using folder = await bench();
  await folder.script('10-hangs', 'sleep 600');
  const stopping = new AbortController();
  setTimeout(() => stopping.abort(new Error('stop')), 200);
  const begun = performance.now();
  assert.deepEqual(await folder.read(stopping.signal), {});
  assert.ok(performance.now() - begun < 5000);
  assert.deepEqual(folder.warnings, []);
});

void test('gives a script nothing of the agent: no environment, no input', async () => {
  await using folder = await bench();
  process.env['LEONORE_ENROLMENT_TOKEN'] = 'secret';
  try {
    await folder.script('10-env', `echo "secret=$LEONORE_ENROLMENT_TOKEN"; echo "input=$(cat | wc -c)"`);
    assert.deepEqual(await folder.read(), { secret: '', input: '0' });
  } finally {
    delete process.env['LEONORE_ENROLMENT_TOKEN'];
  }
});

void test('takes nothing that others can change', async (t) => {
  await using folder = await bench();
  await folder.put('10-open', '#!/bin/sh\necho a=1\n', 0o757);
  assert.deepEqual(await folder.read(), {});
  assert.match(folder.why('10-open') ?? '', /others than root/);
  if (process.getuid?.() !== 0) return t.skip('only root gives files away');
  await folder.script('20-foreign', 'echo b=1');
  await chown(join(folder.dir, '20-foreign'), 12_345, 12_345);
  assert.deepEqual(await folder.read(), {});
  assert.match(folder.why('20-foreign') ?? '', /chown/);
});

void test('takes 100 facts and says which are too many; a folder that is not there says none', async () => {
  await using folder = await bench();
  await folder.script('10-many', 'i=100; while [ $i -lt 300 ]; do echo "k$i=v"; i=$((i+1)); done');
  await folder.put('20-more.txt', 'k100=again\nz=1\n');
  const facts = await folder.read();
  assert.equal(Object.keys(facts).length, 100);
  assert.equal(facts['k100'], 'again');
  assert.match(folder.why('20-more.txt') ?? '', /at most 100 facts; z/);
  const none = createFactsFolder({
    dir: join(folder.dir, 'none'),
    logger: { debug() {}, info() {}, warn() {}, error() {} },
  });
  assert.deepEqual(await none.read(), {});
});

void test('leaves out what no selector could name and no schema would take, and keeps the rest', () => {
  const { facts, fault } = parseFacts(
    JSON.stringify({ ok: 1, 'a b': 2, nested: { x: 1 }, list: [1], long: 'x'.repeat(256), ['x'.repeat(64)]: 1 }),
  );
  assert.deepEqual(facts, { ok: 1 });
  assert.match(fault ?? '', /"a b" is left out: the name of a fact is/);
  assert.deepEqual(parseFacts('{"__proto__": 1, "big": 1e999}').facts, {});
});

void test('property: whatever is said, what is taken is good', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.json(),
        fc.dictionary(fc.string(), fc.jsonValue()).map((v) => JSON.stringify(v)),
      ),
      (text) => {
        assert.ok(factsSchema.safeParse(parseFacts(text).facts).success);
      },
    ),
  );
});
