/** The OpenAPI document and the client are one: every operation has a call, and every call is an operation. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { createClient } from '@leonore/client';
import { artifactManifestSchema, sha256Schema } from '@leonore/protocol';
import { startNodeProcess, temporaryFolder, type NodeProcess } from '@leonore/testkit';

interface OpenApi {
  readonly openapi: string;
  readonly paths: Readonly<
    Record<string, Readonly<Record<string, { summary?: string; tags?: string[]; responses?: object }>>>
  >;
  readonly components: { readonly schemas: Readonly<Record<string, unknown>> };
}

const stack = new AsyncDisposableStack();
let node: NodeProcess;
let document: OpenApi;
before(async () => {
  const folder = stack.use(await temporaryFolder());
  node = stack.use(await startNodeProcess({ dataDir: folder.path, args: ['--log-level', 'warn'] }));
  document = (await (await fetch(`${node.httpUrl}/api/v1/openapi.json`)).json()) as OpenApi;
});
after(() => stack.disposeAsync());

/** What the client sends for each of its methods, as `METHOD path`. */
async function calls(): Promise<ReadonlySet<string>> {
  const sent = new Set<string>();
  const client = createClient({
    baseUrl: 'http://node.test',
    token: 't',
    fetch: (input, init) => {
      const url = new URL(input instanceof Request ? input.url : input);
      sent.add(`${init?.method ?? 'GET'} ${url.pathname}`);
      return Promise.resolve(new Response('{"detail":"not here"}', { status: 404 }));
    },
  });
  const sha256 = sha256Schema.parse('0'.repeat(64));
  const manifest = artifactManifestSchema.parse({ name: 'x', version: '1.0.0' });
  await Promise.allSettled([
    client.info(),
    client.artifacts.list(),
    client.artifacts.builds('x'),
    client.artifacts.builds('x', '1.0.0'),
    client.artifacts.publish({ manifest, segments: [] }),
    client.artifacts.withdraw('x', '1.0.0', ''),
    client.artifacts.usage('x'),
    client.artifacts.needs('x', '1.0.0'),
    client.packages.list(),
    client.packages.get('x'),
    client.packages.diff('x', 'y'),
    client.packages.sbom('x'),
    client.packages.download(sha256),
    client.packages.verify('x'),
    client.store.status(),
    client.store.verify(),
    client.store.collect(),
    client.gateways.list(),
    client.gateways.get('x'),
    client.gateways.create({ id: 'x' }),
    client.gateways.label('x', {}),
    client.gateways.refresh('x'),
    client.gateways.remove('x'),
    client.gateways.sbom('x'),
    client.gateways.tasks('x').list(),
    client.tokens.create(),
    client.tokens.list(),
    client.tokens.revoke('x'),
    client.rollouts.list(),
    client.rollouts.create({ selector: '*' }),
    client.rollouts.get(1),
    ...(['pause', 'resume', 'abort', 'retry'] as const).map((action) => client.rollouts[action](1)),
    client.rollouts.tasks(1).list(),
    client.task(1),
    client.explain({ applications: [], gateway: 'x' }),
    client.explainClasses({ applications: [], selector: '*' }),
    client.events().next(),
    client.uploads.open(sha256, 1),
    client.uploads.get(sha256),
  ]);
  return sent;
}

/** `/a/{id}` as a pattern over real paths. */
const pattern = (path: string) => new RegExp(`^${path.replaceAll(/\{[^}]+\}/g, '[^/]+')}$`);

describe('the OpenAPI document', () => {
  it('is version 3.1 and says something of every operation', () => {
    assert.match(document.openapi, /^3\.1/);
    for (const [path, operations] of Object.entries(document.paths)) {
      for (const [method, operation] of Object.entries(operations)) {
        assert.ok(operation.summary, `${method} ${path} has a summary`);
        assert.ok((operation.tags?.length ?? 0) > 0, `${method} ${path} has a tag`);
      }
    }
  });
  it('has no reference that leads nowhere', () => {
    const text = JSON.stringify(document);
    const names = new Set([...text.matchAll(/"#\/components\/schemas\/([^"]+)"/g)].map(([, name]) => name));
    assert.ok(names.size > 10);
    for (const name of names) assert.ok(name !== undefined && name in document.components.schemas, `${name} is there`);
  });
  it('and the client know the same calls', async () => {
    const sent = await calls();
    // Bytes are sent by `upload`, whose loop needs answers: client/src/upload.test.ts has it.
    const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => ({ method: method.toUpperCase(), path })),
    );
    const expected = operations.filter(
      ({ method, path }) => !(method === 'PATCH' && path.startsWith('/api/v1/uploads/')),
    );
    assert.ok(expected.length > 25);
    const missing = expected.filter(
      ({ method, path }) =>
        ![...sent].some((call) => call.startsWith(`${method} `) && pattern(path).test(call.split(' ')[1] ?? '')),
    );
    assert.deepEqual(missing, [], 'operations without a client call');
    const unknown = [...sent].filter(
      (call) =>
        !operations.some(
          ({ method, path }) => call.startsWith(`${method} `) && pattern(path).test(call.split(' ')[1] ?? ''),
        ),
    );
    assert.deepEqual(unknown, [], 'client calls without an operation');
  });
});

describe('the node', () => {
  it('shows its reference page without reaching out to the internet', async () => {
    const page = await fetch(`${node.httpUrl}/api/docs`);
    assert.equal(page.status, 200);
    const text = await page.text();
    const outside = [...text.matchAll(/(?:src|href)="(https?:\/\/[^"]+)"/g)].map(([, url]) => url);
    assert.deepEqual(outside, []);
  });
  it('is alive, ready, and measured', async () => {
    assert.equal((await fetch(`${node.httpUrl}/healthz`)).status, 200);
    assert.equal((await fetch(`${node.httpUrl}/readyz`)).status, 200);
    const metrics = await (await fetch(`${node.httpUrl}/metrics`)).text();
    assert.match(metrics, /leonore_http_request_duration_seconds_count\{[^}]*route="\/healthz"/);
    assert.match(metrics, /leonore_mqtt_connections 0/);
  });
  it('stops gracefully when it is told to', async () => {
    await node.kill('SIGTERM');
    assert.equal(await node.exited, 0);
  });
});
