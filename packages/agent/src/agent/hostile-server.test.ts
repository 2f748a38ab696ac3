/** What a server may send, by mistake or on purpose: nothing of it is installed, and the words name what is wrong. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { CHUNK_METADATA, type DdiDeployment, type DdiFeedback } from '@leonore/protocol';
import fc from 'fast-check';
import type { LogFacts, Logger } from '../connectivity/mod.ts';
import { agentOptions, applicationsOf, startAgent } from '../test-support/agents.ts';
import { json, startFakeServer } from '../test-support/fake-server.ts';
import { type ArtifactSketch, type MadeTask, makeTask, type TaskSketch } from '../test-support/packages.ts';
import { temporaryFolder } from '../test-support/temporary-folder.ts';
import { until } from '../test-support/waiting.ts';
import type { AgentOptions } from './options.ts';

const TOOL: ArtifactSketch = { name: 'tool', run: null };
const APP: ArtifactSketch = { name: 'app', control: { install: 'true' } };

async function bench(change: Partial<AgentOptions> = {}) {
  const stack = new AsyncDisposableStack();
  const work = stack.use(await temporaryFolder());
  const server = stack.use(await startFakeServer());
  const root = join(work.path, 'gateway');
  stack.use(applicationsOf(root));
  const log: string[] = [];
  const options = agentOptions(server, root, { logger: listTo(log), ...change });
  stack.use(startAgent(options));
  const make = (sketch: TaskSketch): Promise<MadeTask> => makeTask(server, work.path, sketch);
  const end = (id: number | string): Promise<DdiFeedback> =>
    until(`the end of task ${id}`, () => server.closed(String(id)));
  const offer = (deployment: unknown, id: number | string): Promise<DdiFeedback> => {
    server.offered = deployment as DdiDeployment;
    return end(id);
  };
  /** Makes a task, lets `twist` change it, offers it. @returns its end. */
  const task = async (sketch: TaskSketch, twist: (made: MadeTask) => void = () => undefined): Promise<DdiFeedback> => {
    const made = await make(sketch);
    twist(made);
    return offer(made.deployment, sketch.id);
  };
  const components = (): Promise<string[]> => readdir(join(root, 'components'));
  return {
    server,
    root,
    work: work.path,
    log,
    make,
    offer,
    task,
    end,
    components,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}
type Bench = Awaited<ReturnType<typeof bench>>;

function listTo(log: string[]): Logger {
  const add = (message: string, facts?: LogFacts): void => void log.push(`${message} ${JSON.stringify(facts ?? {})}`);
  return { debug: add, info: add, warn: add, error: add };
}
const said = (report: DdiFeedback): string => (report.status.details ?? []).join('\n');
const isDocument = (path: string): boolean => /\/deploymentBase\/\d+(\?|$)/.test(path);
const chunkOf = (deployment: DdiDeployment) => deployment.deployment.chunks[0]!;
const setMetadata = ({ deployment }: MadeTask, key: string, value: string): void => {
  const chunk = chunkOf(deployment);
  chunk.metadata = [...(chunk.metadata ?? []).filter((one) => one.key !== key), { key, value }];
};

/** It was refused before anything was touched, in words that match. */
async function isRefused(gateway: Bench, report: DdiFeedback, words: RegExp): Promise<void> {
  assert.deepEqual([report.status.execution, report.status.result.finished], ['rejected', 'failure'], said(report));
  assert.match(said(report), words);
  assert.deepEqual(await gateway.components(), []);
}
/** It came to nothing and says why; the next good task is taken. */
async function hasFailed(gateway: Bench, report: DdiFeedback, words: RegExp): Promise<void> {
  assert.deepEqual([report.status.execution, report.status.result.finished], ['closed', 'failure'], said(report));
  assert.match(said(report), words);
  assert.deepEqual(await gateway.components(), []);
  assert.deepEqual(await readdir(join(gateway.root, 'staging')), []);
}
async function stillWorks(gateway: Bench, id: number): Promise<void> {
  const report = await gateway.task({ id, components: [TOOL] });
  assert.equal(report.status.result.finished, 'success', said(report));
  assert.deepEqual(await gateway.components(), ['tool']);
}

/** A web server elsewhere that gives everybody the same and counts. */
async function startElsewhere(answer: (request: IncomingMessage, response: ServerResponse) => void) {
  const asked: IncomingMessage['headers'][] = [];
  const server = createServer((request, response) => {
    asked.push(request.headers);
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    host,
    asked,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

describe('a task', { concurrency: 2 }, () => {
  it('for another gateway, of an unknown encoding, without its sequence or with an endless header is refused', async () => {
    await using gateway = await bench();
    const twists: readonly (readonly [(made: MadeTask) => void, RegExp])[] = [
      [(made) => setMetadata(made, CHUNK_METADATA.gateway, 'gw-2'), /it is for gateway "gw-2", this one is gw-1/],
      [(made) => setMetadata(made, CHUNK_METADATA.encoding, 'lzma'), /leonore\.encoding/],
      [(made) => setMetadata(made, CHUNK_METADATA.sequence, '-7'), /leonore\.sequence: is not a whole number/],
      [
        (made) => setMetadata(made, CHUNK_METADATA.gatewayClass, 'class-2'),
        /for gateways of class class-1, the task for class-2/,
      ],
      [(made) => setMetadata(made, CHUNK_METADATA.packageId, `p-${'0'.repeat(32)}`), /the task names p-0/],
      [
        (made) => {
          chunkOf(made.deployment).artifacts[0]!.size = 1e12;
          setMetadata(made, CHUNK_METADATA.headerSize, '900000000000');
        },
        /a header has at most 33554432 bytes, not 900000000000/,
      ],
      [(made) => void made.deployment.deployment.chunks.push(chunkOf(made.deployment)), /exactly one chunk/],
      [(made) => void (chunkOf(made.deployment).part = 'bApp'), /exactly one chunk of part "leonore"/],
    ];
    for (const [index, [twist, words]] of twists.entries()) {
      await isRefused(gateway, await gateway.task({ id: index + 1, components: [TOOL] }, twist), words);
    }
    const meant = await gateway.task({ id: 20, components: [TOOL] }, (made) =>
      setMetadata(made, CHUNK_METADATA.gateway, 'gw-1'),
    );
    assert.equal(meant.status.result.finished, 'success', said(meant));
  });

  it('of an older sequence is refused, whatever its id', async () => {
    await using gateway = await bench();
    await stillWorks(gateway, 7);
    const report = await gateway.task({ id: 9, components: [{ ...TOOL, version: '0.9.0' }] }, (made) =>
      setMetadata(made, CHUNK_METADATA.sequence, '6'),
    );
    assert.equal(report.status.execution, 'rejected');
    assert.match(said(report), /older than what was done here \(sequence 6, 7 is known already\)/);
    assert.deepEqual(
      report.installed?.map(({ version }) => version),
      ['1.0.0'],
    );
  });

  it('whose id is a path is passed over', async () => {
    await using gateway = await bench();
    const { deployment } = await gateway.make({ id: 1, components: [TOOL] });
    gateway.server.intercept = ({ path }, response) => {
      if (!isDocument(path)) return false;
      json(response, 200, { ...deployment, id: '../../../escaped' });
      return true;
    };
    gateway.server.offered = deployment;
    await until('it is logged', () => gateway.log.some((line) => line.includes('an action id is 1 to 19 digits')));
    assert.deepEqual(gateway.server.reports, []);
    gateway.server.intercept = () => false;
    gateway.server.offered = undefined;
    await stillWorks(gateway, 2);
    assert.ok(!(await readdir(gateway.work)).includes('escaped'));
  });

  it('that has expired is refused: by the clock of the server, whatever the own says', async () => {
    const old = { id: 1, components: [TOOL], expires: Date.UTC(2026, 10, 23) };
    for (const year of [1970, 2099]) {
      await using gateway = await bench({ tuning: { now: () => Date.UTC(year, 1, 1) } });
      gateway.server.intercept = (_request, response) => {
        response.setHeader('date', 'Mon, 01 Mar 2027 00:00:00 GMT');
        return false;
      };
      await isRefused(gateway, await gateway.task(old), /expired at 2026-11-23.*the server's clock says 2027-03-01/);
      const good = { ...old, id: 2, expires: Date.UTC(2027, 3, 1) };
      const report = await gateway.task(good);
      assert.equal(report.status.result.finished, 'success', `${year}: ${said(report)}`);
    }
  });

  it('of a server that lives in 1970 is refused, with a look at its clock', async () => {
    await using gateway = await bench();
    gateway.server.intercept = (_request, response) => {
      response.setHeader('date', 'Thu, 01 Jan 1970 00:01:00 GMT');
      return false;
    };
    const report = await gateway.task({ id: 1, components: [TOOL], expires: 8 * 86_400_000 });
    await isRefused(gateway, report, /expired at 1970-01-09.*look at the clock of the server/);
  });
});

describe('a link', { concurrency: 2 }, () => {
  const lieAt = (made: MadeTask, href: string): void => {
    chunkOf(made.deployment).artifacts[0]!._links = { download: { href } };
  };
  it('to another host is not followed, unless the gateway was told that it may be; never with its token', async () => {
    let made: MadeTask | undefined;
    await using elsewhere = await startElsewhere((_request, response) => response.end(made?.bytes));
    {
      await using gateway = await bench();
      const report = await gateway.task({ id: 1, components: [TOOL] }, (one) =>
        lieAt(one, `http://${elsewhere.host}/p`),
      );
      await isRefused(
        gateway,
        report,
        new RegExp(`lies at "http://${elsewhere.host}".*--allow-host ${elsewhere.host}`),
      );
      for (const [index, href] of ['file:///etc/passwd', 'ftp://127.0.0.1/p', 'http://[', 'data:,x'].entries()) {
        const other = await gateway.task({ id: index + 2, components: [TOOL] }, (one) => lieAt(one, href));
        await isRefused(gateway, other, /its package lies at/);
      }
      assert.deepEqual(elsewhere.asked, []);
    }
    await using gateway = await bench({ allowHosts: [elsewhere.host] });
    const report = await gateway.task({ id: 1, components: [TOOL] }, (one) => {
      made = one;
      lieAt(one, `http://${elsewhere.host}/p`);
    });
    assert.equal(report.status.result.finished, 'success', said(report));
    assert.deepEqual(
      elsewhere.asked.map(({ authorization }) => authorization),
      elsewhere.asked.map(() => undefined),
    );
  });

  it('of a delta to another host leaves the delta out', async () => {
    await using elsewhere = await startElsewhere((_request, response) => response.end());
    await using gateway = await bench();
    const first = await gateway.make({ id: 1, components: [TOOL] });
    await gateway.offer(first.deployment, 1);
    const next: ArtifactSketch = { ...TOOL, version: '1.1.0', replaces: '1.0.0' };
    const deltaFrom = { tar: first.tars['tool']!, offer: { href: `http://${elsewhere.host}/d` } };
    const report = await gateway.task({ id: 2, components: [{ ...next, deltaFrom }] });
    assert.equal(report.status.result.finished, 'success', said(report));
    assert.deepEqual(elsewhere.asked, []);
    assert.ok(
      gateway.log.some((line) => line.includes('1 of 1 lie elsewhere')),
      gateway.log.join('\n'),
    );
  });

  it('that turns out to be a redirect is not followed', async () => {
    await using elsewhere = await startElsewhere((_request, response) => response.end('bytes'));
    await using gateway = await bench();
    gateway.server.intercept = ({ path }, response) => {
      if (!path.startsWith('/packages/')) return false;
      response.writeHead(302, { location: `http://${elsewhere.host}/p` }).end();
      return true;
    };
    const made = await gateway.make({ id: 1, components: [TOOL] });
    gateway.server.offered = made.deployment;
    await until('it is logged', () => gateway.log.some((line) => line.includes(`it is at http://${elsewhere.host}`)));
    gateway.server.intercept = () => false;
    assert.equal((await gateway.end(1)).status.result.finished, 'success');
    assert.deepEqual(elsewhere.asked, []);
  });
});

describe('a package', { concurrency: 2 }, () => {
  it('that is not what its task and its manifest say fails, and leaves nothing', async () => {
    await using gateway = await bench();
    const flipAt = (at: (made: MadeTask) => number) => (made: MadeTask) => {
      const bytes = Buffer.from(made.bytes);
      bytes[at(made)]! ^= 1;
      gateway.server.packages.set(made.path, { bytes, etag: '"damaged"' });
    };
    const components = [TOOL];
    const wrong = createHash('sha256').update('other').digest('hex');
    const sketches: readonly (readonly [Omit<TaskSketch, 'id'>, RegExp])[] = [
      [
        {
          components,
          tamper: (component, segment) => ({
            segment,
            component: { ...component, files: component.files.map((file) => ({ ...file, sha256: wrong as never })) },
          }),
        },
        /version\.txt/,
      ],
      [
        {
          components,
          tamper: (component, segment) => ({ segment, component: { ...component, contentSha256: wrong as never } }),
        },
        /tool/,
      ],
      [
        {
          components,
          tamper: (component, segment) => ({ segment, component: { ...component, files: [], unpackedSize: 0 } }),
        },
        /version\.txt/,
      ],
      [
        { components, tamper: (component) => ({ component, segment: zstdCompressSync(Buffer.alloc(200 * 2 ** 20)) }) },
        /tool|archive/,
      ],
    ];
    for (const [index, [sketch, words]] of sketches.entries()) {
      await hasFailed(gateway, await gateway.task({ id: index + 1, ...sketch }), words);
    }
    const inHeader = await gateway.task(
      { id: 40, components },
      flipAt(() => 40),
    );
    await hasFailed(gateway, inHeader, /sha-?256|digest/i);
    const inSegment = await gateway.task(
      { id: 41, components },
      flipAt(({ headerSize }) => headerSize + 10),
    );
    await hasFailed(gateway, inSegment, /sha-?256|digest/i);
    await stillWorks(gateway, 50);
  });

  /** Another header, in which the manifest says something else; its digest is what the task says. */
  const sayInstead = (gateway: Bench, made: MadeTask, header: Buffer): void => {
    const sha256 = createHash('sha256').update(header).digest('hex');
    const bytes = Buffer.concat([header, made.bytes.subarray(made.headerSize)]);
    gateway.server.packages.set(made.path, { bytes, etag: `"${sha256}"` });
    setMetadata(made, CHUNK_METADATA.headerSha256, sha256);
    setMetadata(made, CHUNK_METADATA.headerSize, String(header.length));
    chunkOf(made.deployment).artifacts[0]!.size = bytes.length;
  };

  it('whose header is a bomb or wants to leave its place fails before the rest is asked for', async () => {
    await using gateway = await bench();
    const bomb = await gateway.task({ id: 1, components: [TOOL] }, (made) =>
      sayInstead(gateway, made, zstdCompressSync(Buffer.alloc(512 * 2 ** 20))),
    );
    await hasFailed(gateway, bomb, /header/);
    const leaving = await gateway.task({ id: 2, components: [{ ...TOOL, installPath: '/opt/xx/etc' }] }, (made) => {
      const text = zstdDecompressSync(made.bytes.subarray(0, made.headerSize)).toString('latin1');
      sayInstead(gateway, made, zstdCompressSync(Buffer.from(text.replaceAll('/opt/xx/etc', '/opt/../etc'), 'latin1')));
    });
    await hasFailed(gateway, leaving, /installPath/);
    await stillWorks(gateway, 3);
  });

  it('of which there is no end fails after a few tries', async () => {
    await using gateway = await bench();
    gateway.server.intercept = ({ path }, response) => {
      if (!path.startsWith('/packages/')) return false;
      const more = Buffer.alloc(65_536);
      const send = (): void => {
        while (!response.destroyed && response.write(more));
        if (!response.destroyed) response.once('drain', send);
      };
      response.writeHead(200);
      send();
      return true;
    };
    const report = await gateway.task({ id: 1, components: [TOOL] });
    await hasFailed(gateway, report, /sent more than|sha-?256|digest/i);
    gateway.server.intercept = () => false;
    await stillWorks(gateway, 2);
  });

  it('that wants to be where applications have no business is refused', async () => {
    await using gateway = await bench();
    for (const [index, path] of ['/etc/cron.d/x', '/usr/bin/env', '/proc/1', '/opt'].entries()) {
      const report = await gateway.task({ id: index + 1, components: [{ ...TOOL, installPath: path }] });
      await isRefused(gateway, report, /tool wants to be at .*may only be below \/opt, \/srv.*--allow-install-path/);
    }
    const twice = ['/opt/a', '/opt/a/b'].map((installPath, index) => ({ ...TOOL, name: `tool-${index}`, installPath }));
    await isRefused(gateway, await gateway.task({ id: 10, components: twice }), /one lies inside the other/);
    assert.deepEqual(await readdir(join(gateway.root, 'rootfs')), []);
  });

  it("may be where the gateway was told that it may, but never in the agent's own folder", async () => {
    const folder = await temporaryFolder();
    await using _folder = folder;
    await using gateway = await bench({ allowInstallPaths: ['/'], installRoot: '/' });
    const inside = await gateway.task({
      id: 1,
      components: [{ ...TOOL, installPath: join(gateway.root, 'components/x') }],
    });
    await isRefused(gateway, inside, /where the agent's own folder is/);
    const above = await gateway.task({ id: 2, components: [{ ...TOOL, installPath: gateway.work }] });
    await isRefused(gateway, above, /where the agent's own folder is/);
    const report = await gateway.task({ id: 3, components: [{ ...TOOL, installPath: join(folder.path, 'tool') }] });
    assert.equal(report.status.result.finished, 'success', said(report));
    assert.deepEqual(await readdir(join(folder.path, 'tool')), ['version.txt']);
  });

  it('with a control script that cannot be executed, or is none, or is missing, is refused', async () => {
    await using gateway = await bench();
    const twist =
      (change: (path: string) => object | undefined): TaskSketch['tamper'] =>
      (component, segment) => ({
        segment,
        component: {
          ...component,
          files: component.files.flatMap((file) => {
            const changed = change(file.path);
            return changed ? [{ ...file, ...changed }] : [];
          }),
          unpackedSize: component.files.filter(({ path }) => change(path)).reduce((sum, { size }) => sum + size, 0),
        },
      });
    const tampered: readonly (readonly [TaskSketch['tamper'], RegExp])[] = [
      [
        twist((path) => (path.endsWith('/install') ? { mode: 0o644 } : {})),
        /control\/install of app 1\.0\.0 is not executable/,
      ],
      [
        twist((path) => (path.endsWith('/install') ? { path: 'control/app/evil' } : {})),
        /has control\/evil, which is no control script/,
      ],
      [twist((path) => (path.endsWith('/start') ? undefined : {})), /is to be run, but has no control\/start/],
    ];
    for (const [index, [tamper, words]] of tampered.entries()) {
      await isRefused(gateway, await gateway.task({ id: index + 1, components: [APP], tamper }), words);
    }
  });
});

describe('a document', { concurrency: 2 }, () => {
  it('that is too long, too deep or never ends is not taken in; the gateway goes on', async () => {
    await using gateway = await bench();
    const { deployment } = await gateway.make({ id: 1, components: [TOOL] });
    gateway.server.offered = deployment;
    const bodies: ((response: ServerResponse) => void)[] = [
      (response) => json(response, 200, { ...deployment, more: 'x'.repeat(5 * 2 ** 20) }),
      (response) => response.end('['.repeat(2 ** 20)),
      (response) => response.end(`{"id":"1","deployment":${'['.repeat(10_000)}${']'.repeat(10_000)}}`),
      (response) => {
        const timer = setInterval(() => response.write(' '.repeat(2 ** 20)), 1);
        response.on('close', () => clearInterval(timer));
      },
    ];
    let served = 0;
    gateway.server.intercept = ({ path }, response) => {
      const body = isDocument(path) ? bodies[served++] : undefined;
      body?.(response);
      return body !== undefined;
    };
    const report = await gateway.end(1);
    assert.equal(report.status.result.finished, 'success', said(report));
    assert.equal(served, bodies.length + 1);
  });

  it('of any form: nothing is installed, the agent goes on, and what is a task is answered with why not', async () => {
    await using gateway = await bench();
    const { server } = gateway;
    // Whatever is still sound after all leads to this package, which is for nobody.
    const sound = await gateway.make({ id: 1, components: [TOOL], platform: { os: 'plan9' } });
    let document: unknown;
    let asked = 0;
    let polls = 0;
    let number = 0;
    server.intercept = ({ path }, response) => {
      if (isDocument(path)) {
        asked += 1;
        json(response, 200, document ?? null);
        return true;
      }
      if (!/\/controller\/v1\/gw-1(\?|$)/.test(path)) return false;
      polls += 1;
      const href = `${server.url}/DEFAULT/controller/v1/gw-1/deploymentBase/${number}?c=${number}`;
      json(response, 200, { config: { polling: { sleep: '00:00:01' } }, _links: { deploymentBase: { href } } });
      return true;
    };
    const paths = pathsOf(sound.deployment);
    const change = fc.record({
      path: fc.constantFrom(...paths),
      value: fc.oneof(fc.jsonValue(), fc.constantFrom('1', '-1', '', 1e300, [])),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 3 }), async (changes) => {
        number += 1;
        const fresh = structuredClone(sound);
        fresh.deployment.id = String(number);
        setMetadata(fresh, CHUNK_METADATA.sequence, String(number));
        document = changes.reduce(
          (whole, { path, value }) => withValue(whole, path, value),
          fresh.deployment as unknown,
        );
        const [before, polled] = [asked, polls];
        await until('it was asked for and taken in', () => asked > before && polls > polled + 1);
      }),
      { numRuns: 60, endOnFailure: true },
    );
    server.intercept = () => false;
    server.offered = undefined;
    const closed = server.reports.filter(({ report }) => /closed|rejected/.test(report.status.execution));
    assert.ok(closed.length > 0);
    assert.ok(gateway.log.some((line) => line.includes('in a form this agent does not know')));
    for (const { report } of closed) {
      assert.equal(report.status.result.finished, 'failure');
      assert.notEqual(said(report), '');
    }
    assert.deepEqual(await gateway.components(), []);
    await stillWorks(gateway, 900_000_000_000_000);
  });
});

type Path = readonly (string | number)[];

/** Of each member at any depth. */
function pathsOf(value: unknown, path: Path = []): Path[] {
  const entries = Array.isArray(value)
    ? [...value.entries()]
    : value && typeof value === 'object'
      ? Object.entries(value)
      : [];
  return [path, ...entries.flatMap(([key, member]: [string | number, unknown]) => pathsOf(member, [...path, key]))];
}

/** A copy in which another value is at the path; unchanged where there is no such place. */
function withValue(whole: unknown, [key, ...rest]: Path, value: unknown): unknown {
  if (key === undefined) return value;
  if (!whole || typeof whole !== 'object' || !Object.hasOwn(whole, key)) return whole;
  const copy: Record<string | number, unknown> | unknown[] = Array.isArray(whole) ? [...whole] : { ...whole };
  Object.assign(copy, { [key]: withValue((whole as Record<string | number, unknown>)[key], rest, value) });
  return copy;
}
