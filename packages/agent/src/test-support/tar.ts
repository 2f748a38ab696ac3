/** Tars for tests, whole or broken, of any kind of entry. */
export interface TarEntrySketch {
  readonly path: string;
  /** '0' file, '1' hard link, '2' symbolic link, '5' folder, and whatever else. */
  readonly type?: string;
  readonly target?: string;
  readonly mode?: number;
  readonly body?: string | Buffer;
}

const BLOCK = 512;

export function tarOf(...entries: readonly TarEntrySketch[]): Buffer {
  return Buffer.concat([...entries.map(blocksOf), Buffer.alloc(2 * BLOCK)]);
}

function blocksOf({ path, type = '0', target = '', mode = 0o755, body = '' }: TarEntrySketch): Buffer {
  const content = Buffer.from(body);
  const header = Buffer.alloc(BLOCK);
  header.write(path, 0);
  header.write(`${mode.toString(8).padStart(7, '0')}\0`, 100);
  header.write('0000000\x000000000\x00', 108);
  header.write(`${content.length.toString(8).padStart(11, '0')}\0`, 124);
  header.write('00000000000\0', 136);
  header.write('        ', 148);
  header.write(type, 156);
  header.write(target, 157);
  header.write('ustar\x0000', 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return Buffer.concat([header, content, Buffer.alloc((BLOCK - (content.length % BLOCK)) % BLOCK)]);
}
