/** Room on the disk that packages leave to others: asked for before a download begins, and before each write of it. */
import { formatBytes, LeonoreError } from '@leonore/protocol';

/** Stays free whatever is installed, bytes. */
export const SPARE_BYTES = 20 * 2 ** 20;

/** Awaited before so many bytes are written. @throws LeonoreError `agent.disk-full` when too little would be left */
export type KeepRoom = (bytes: number) => Promise<void>;

export function createRoom(freeBytes: () => Promise<number>): KeepRoom {
  return async (bytes) => {
    const free = await freeBytes();
    if (free - bytes >= SPARE_BYTES) return;
    throw new LeonoreError(
      'agent.disk-full',
      `there is no space left for the package: ${formatBytes(free)} free, of which ${formatBytes(SPARE_BYTES)} are kept free; free some and try again`,
    );
  };
}

/** The same bytes, each chunk when there is room for it. */
export async function* whileThereIsRoom(
  bytes: AsyncIterable<Uint8Array>,
  keepRoom: KeepRoom,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of bytes) {
    await keepRoom(chunk.length);
    yield chunk;
  }
}
