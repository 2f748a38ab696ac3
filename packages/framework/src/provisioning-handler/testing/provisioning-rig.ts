/** A provisioning handler for tests: real repositories on an SQLite file, a fake push, a clock that the test turns. */
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  artifactManifestSchema,
  DEFAULT_TENANT,
  gatewayIdSchema,
  gatewayProfileSchema,
  type DDI_EXECUTIONS,
  type GatewayId,
  type Sha256,
  type TaskId,
} from '@leonore/protocol';
import type { z } from 'zod';
import { createEventBus } from '../../events/mod.ts';
import type { GatewayPush } from '../../gateway-handler/mod.ts';
import { createGatewayManagement } from '../../gateway-management/mod.ts';
import { createArchiveFormats, createByteCache, createPackageBuilder } from '../../package-builder/mod.ts';
import { openFileBlobs, openSqliteRepositories } from '../../repositories/mod.ts';
import { createProvisioningHandler } from '../mod.ts';

export const TENANT = DEFAULT_TENANT;
export const gatewayId = (id: string) => gatewayIdSchema.parse(id);

export type Rig = Awaited<ReturnType<typeof openRig>>;

/** `graceMs`: how long packages stay that nothing needs. */
export async function openRig({ graceMs = 86_400_000 } = {}) {
  const dir = await mkdtemp(join(tmpdir(), 'leonore-provisioning-'));
  const clock = { now: 1_000_000 };
  const connected = new Set<GatewayId>();
  const pushed: { gateway: GatewayId; task: TaskId; cancel: boolean }[] = [];
  const errors: unknown[] = [];
  const send = (cancel: boolean, gateway: GatewayId, task: TaskId) => {
    if (!connected.has(gateway)) return Promise.resolve(false);
    pushed.push({ gateway, task, cancel });
    return Promise.resolve(true);
  };
  const push: GatewayPush = {
    isConnected: (_tenant, gateway) => connected.has(gateway),
    pushTask: (_tenant, gateway, { task }) => send(false, gateway, task),
    pushCancel: (_tenant, gateway, task) => send(true, gateway, task),
  };
  const now = () => clock.now;
  const onError = (error: unknown) => void errors.push(error);

  async function start() {
    await using stack = new AsyncDisposableStack();
    const repositories = stack.use(await openSqliteRepositories({ file: join(dir, 'leonore.db') }));
    const blobs = stack.use(await openFileBlobs({ dir: join(dir, 'blobs') }));
    const gateways = stack.use(
      createGatewayManagement({ repositories, now, onError }, { livenessFlushIntervalMs: 3_600_000 }),
    );
    const cache = createByteCache({ maxBytes: 1e6, maxItemBytes: 1e6 });
    const formats = createArchiveFormats();
    const builder = createPackageBuilder({ repositories, blobs, cache, now, formats }, { graceMs });
    const provisioning = stack.use(
      createProvisioningHandler(
        { repositories, builder, gateways, events: createEventBus({ keep: 10 }), push: () => push, now, onError },
        { deadlineIntervalMs: 5, progressIntervalMs: 5, planningRetryMs: 20, keptPlans: 100 },
      ),
    );
    const resources = stack.move();
    return {
      repositories,
      blobs,
      gateways,
      builder,
      provisioning,
      [Symbol.asyncDispose]: () => resources.disposeAsync(),
    };
  }

  let node = await start();
  const bench = {
    clock,
    connected,
    pushed,
    errors,
    get node() {
      return node;
    },
    get rollouts() {
      return node.provisioning.rollouts;
    },
    get tasks() {
      return node.provisioning.gatewayTasks;
    },
    /** Ends the handler and begins another over the same file. */
    async restart() {
      await node[Symbol.asyncDispose]();
      node = await start();
      await node.provisioning.start();
    },
    async publish(name: string, version: string, more: Partial<z.input<typeof artifactManifestSchema>> = {}) {
      const bytes = Buffer.from(`${name} ${version}`);
      const sha256 = await node.blobs.put(bytes);
      const contentSha256 = createHash('sha256').update('tar').update(bytes).digest('hex') as Sha256;
      const segments = [{ encoding: 'gzip' as const, sha256, size: bytes.length }];
      const manifest = artifactManifestSchema.parse({ name, version, ...more });
      const artifact = { manifest, contentSha256, unpackedSize: 0, fileCount: 0, segments, publishedAt: clock.now };
      await node.repositories.write((set) => set.artifacts.insert(TENANT, artifact, []));
    },
    async gateway(id: string, profile: z.input<typeof gatewayProfileSchema> = {}) {
      await node.gateways.create(TENANT, { id, labels: {}, profile: gatewayProfileSchema.parse(profile) });
      return gatewayId(id);
    },
    create: (wanted: { applications?: string[]; remove?: string[]; selector?: string; deadline?: number }) => {
      const seconds = wanted.deadline ?? 1000;
      return node.provisioning.rollouts.create(TENANT, {
        applications: (wanted.applications ?? []).map((text) => {
          const [name, range = '*'] = text.split('@');
          return { name: name as never, range };
        }),
        remove: wanted.remove ?? [],
        selector: wanted.selector ?? '*',
        strategy: 'auto',
        upgrade: false,
        deadlines: { pending: seconds, offered: seconds, downloading: seconds, installing: seconds },
      });
    },
    feedback(
      gateway: GatewayId,
      task: TaskId,
      execution: (typeof DDI_EXECUTIONS)[number],
      finished: 'none' | 'success' | 'failure' = 'none',
      details: string[] = [],
    ) {
      const status = { execution, result: { finished }, details };
      return node.provisioning.gatewayTasks.feedback(TENANT, gateway, task, { status });
    },
    /** Takes what is offered and reports success. */
    async obey(gateway: GatewayId): Promise<TaskId> {
      const task = await bench.offered(gateway);
      await bench.tasks.deliver(TENANT, gateway, task, 'pull');
      await bench.feedback(gateway, task, 'closed', 'success');
      return task;
    },
    offered: (gateway: GatewayId) =>
      until(`work for ${gateway}`, async () => {
        const work = await bench.tasks.current(TENANT, gateway);
        return work.kind === 'deployment' ? work.task : undefined;
      }),
    ended: (rollout: { id: number }) =>
      until(`rollout ${rollout.id} to end`, async () => {
        const found = await node.provisioning.rollouts.get(TENANT, rollout.id as never);
        return found.state !== 'running' && found.state !== 'paused' ? found : undefined;
      }),
    installed: async (gateway: GatewayId) =>
      ((await node.gateways.get(TENANT, gateway)).profile.installed ?? []).map(
        ({ name, version }) => `${name} ${version}`,
      ),
    desired: async (gateway: GatewayId) =>
      (await node.gateways.get(TENANT, gateway)).desired.map(({ name, range }) => `${name}@${range}`),
    async [Symbol.asyncDispose]() {
      await node[Symbol.asyncDispose]();
      await rm(dir, { recursive: true, force: true });
    },
  };
  return bench;
}

/** Asks until there is an answer. */
export async function until<T>(what: string, ask: () => Promise<T | undefined | false>): Promise<T> {
  const end = performance.now() + 20_000;
  for (;;) {
    const found = await ask();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > end) throw new Error(`waited in vain for ${what}`);
    await sleep(2);
  }
}
