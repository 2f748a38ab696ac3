/** `leonore package verify`: has the node read the bytes of packages from its disk and compare them with their digests. */
import type { Client } from '@leonore/client';
import type { Damage, Sha256, Verification } from '@leonore/protocol';
import type { Command } from 'commander';
import type { App } from '../app.ts';
import { EXIT } from '../exit-codes.ts';
import { addOutputOption, emitOne, type OutputFormat } from '../output/emit.ts';
import { renderVerification } from '../output/store-view.ts';
import { createTransferProgress } from '../progress/transfer-progress.ts';
import { addConnectionOptions, type ConnectionFlags } from '../settings/connection.ts';
import type { Terminal } from '../terminal.ts';

type Flags = ConnectionFlags & { readonly output: OutputFormat };

export function registerPackageVerify(parent: Command, app: App): void {
  addConnectionOptions(
    addOutputOption(
      parent
        .command('verify')
        .description(
          "read packages' bytes from the node's disk and compare their digests; all of the store without an id",
        ),
    ),
  )
    .argument('[id...]', 'ids of packages')
    .action(async (ids: string[], flags: Flags) => {
      const client = await app.connect(flags);
      const { terminal } = app;
      const found = await (ids.length === 0 ? verifyStore(client, terminal) : verifyPackages(client, ids, terminal));
      await emitVerification(found, flags.output, app);
    });
}

/** Ends with 1 when something is damaged; `-o name` writes the digests of what is. */
export async function emitVerification(found: Verification, output: OutputFormat, app: App): Promise<void> {
  const name = ({ damages }: Verification) => damages.map(({ sha256 }) => sha256).join('\n');
  if (output !== 'name' || !found.ok) {
    await emitOne(app.terminal, output, found, { name, render: renderVerification });
  }
  if (!found.ok) app.exitCode = EXIT.failed;
}

/** The node reads for some seconds at a time and says where to go on. */
export async function verifyStore(client: Client, terminal: Terminal): Promise<Verification> {
  const { signal } = terminal;
  const { segments, deltas } = await client.store.status({ signal });
  using progress = createTransferProgress(terminal, 'reading the store', segments.bytes + deltas.bytes);
  const total = createTotal();
  let after: Sha256 | undefined;
  do {
    const { next, ...some } = await client.store.verify({ after }, { signal });
    progress.show(total.add(some));
    after = next;
  } while (after !== undefined);
  return total.sum();
}

async function verifyPackages(client: Client, ids: readonly string[], terminal: Terminal): Promise<Verification> {
  const { signal } = terminal;
  const packages = [];
  for (const id of new Set(ids)) packages.push(await client.packages.get(id, { signal }));
  const size = packages.reduce((sum, one) => sum + one.size - one.headerSize, 0);
  using progress = createTransferProgress(terminal, `reading ${packages.length === 1 ? ids[0] : 'the packages'}`, size);
  progress.show(0);
  const total = createTotal();
  for (const { id } of packages) progress.show(Math.min(size, total.add(await client.packages.verify(id, { signal }))));
  return total.sum();
}

/** Several verifications as one; a blob that packages share is told of once. */
function createTotal() {
  const damages = new Map<Sha256, Damage>();
  let [blobs, bytes] = [0, 0];
  return {
    /** Bytes read so far. */
    add(some: Verification): number {
      blobs += some.blobs;
      bytes += some.bytes;
      for (const damage of some.damages) damages.set(damage.sha256, damage);
      return bytes;
    },
    sum: (): Verification => ({ ok: damages.size === 0, blobs, bytes, damages: [...damages.values()] }),
  };
}
