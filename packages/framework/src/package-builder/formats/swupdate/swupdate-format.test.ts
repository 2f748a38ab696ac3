import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { artifactNameSchema, packageContentsSchema } from '@leonore/protocol';
import fc from 'fast-check';
import type { Composition, FormatInput } from '../mod.ts';
import type { SwuSigner } from './signer.ts';
import { createSwupdateFormat, type SwupdateFormatOptions } from './swupdate-format.ts';
import { anyInput, component, image, input } from './testing/inputs.ts';

/** Signs like RSA: the same content, the same signature. */
const signer: SwuSigner = {
  fingerprint: 'a'.repeat(64),
  endsAt: 1000,
  sign: (content) => createHash('sha512').update(content).digest(),
};
const OPTIONS: SwupdateFormatOptions = {
  signer,
  root: '/var/lib/leonore',
  hardware: ['1.0', '#RE:^2\\.'],
  now: () => 500,
};
const format = (options: Partial<SwupdateFormatOptions> = {}) => createSwupdateFormat({ ...OPTIONS, ...options });
const compose = async (wanted: FormatInput): Promise<Composition> => format().compose(wanted);

/** The files of the archive with their contents; of a segment its length. */
function filesOf({ own, parts }: Composition): Map<string, Buffer | number> {
  const bytes = Buffer.from(own);
  const blobs = parts
    .map((part) => (part.kind === 'own' ? undefined : part.length))
    .filter((length) => length !== undefined);
  const files = new Map<string, Buffer | number>();
  let [at, place] = [0, 0];
  for (;;) {
    const field = (index: number) =>
      Number.parseInt(bytes.toString('latin1', at + 6 + 8 * index, at + 14 + 8 * index), 16);
    const [size, nameLength] = [field(6), field(11)];
    const name = bytes.toString('latin1', at + 110, at + 109 + nameLength);
    if (name === 'TRAILER!!!') return files;
    at += 110 + nameLength + ((4 - ((110 + nameLength) % 4)) % 4);
    if (name.endsWith('.tar.gz')) {
      assert.equal(size, blobs[place++]);
      files.set(name, size);
    } else {
      files.set(name, bytes.subarray(at, at + size));
      at += size;
    }
    at += (4 - (size % 4)) % 4;
  }
}

describe('an image for SWUpdate', () => {
  it('is the same for the same input and key, and its manifest says where each segment lies', async () => {
    await fc.assert(
      fc.asyncProperty(anyInput, async (wanted) => {
        const [one, other] = [await compose(wanted), await compose(structuredClone(wanted))];
        assert.deepEqual(one, other);
        assert.equal(one.id, format().id(wanted));
        packageContentsSchema.parse(one.manifest);
        assert.equal(
          one.parts.reduce((sum, { length }) => sum + length, 0),
          one.size,
        );
        assert.equal(one.size % 512, 0);
        assert.equal(one.own.length, one.headerSize);
        assert.equal(
          one.parts.reduce((sum, part) => sum + (part.kind === 'own' ? part.length : 0), 0),
          one.own.length,
        );
        let at = -(one.parts[0]?.length ?? 0);
        const placed = one.parts.flatMap((part) => {
          const offset = at;
          at += part.length;
          return part.kind === 'blob' ? [{ offset, length: part.length, sha256: part.sha256 }] : [];
        });
        assert.deepEqual(
          one.manifest.components.map(({ segment }) => segment),
          placed,
        );
      }),
      { numRuns: 50 },
    );
  });

  it('costs the same however large what it carries is', async () => {
    const small = await compose(input([component('app', { size: 1 })]));
    const large = await compose(input([component('app', { size: 2 ** 32 - 3 })]));
    // But for the zero bytes up to the next place that a head or the end may have.
    assert.ok(Math.abs(large.headerSize - small.headerSize) < 512);
    assert.ok(small.headerSize < 25_000);
  });

  it('names the digest of all that it holds', async () => {
    const made = await compose(input([component('lib'), component('app', { needs: ['lib'] })]));
    const files = filesOf(made);
    assert.deepEqual(
      [...files.keys()],
      ['sw-description', 'sw-description.sig', 'leonore.sh', 'lib.tar.gz', 'app.tar.gz'],
    );
    const description = String(files.get('sw-description'));
    for (const { segment } of made.manifest.components) assert.ok(description.includes(segment.sha256));
    const script = createHash('sha256')
      .update(files.get('leonore.sh') as Buffer)
      .digest('hex');
    assert.ok(description.includes(`filename = "leonore.sh"; type = "shellscript"; sha256 = "${script}"`));
    assert.ok(description.includes('hardware-compatibility = [ "1.0", "#RE:^2\\\\." ];'));
    assert.deepEqual(files.get('sw-description.sig'), signer.sign(files.get('sw-description') as Buffer));
  });

  it('has another id with another key, folder, hardware or content', () => {
    const wanted = input([component('app')]);
    const id = format().id(wanted);
    const others = [
      format({ signer: { ...signer, fingerprint: 'b'.repeat(64) } }).id(wanted),
      format({ root: '/data/leonore' }).id(wanted),
      format({ hardware: ['1.0'] }).id(wanted),
      format().id(input([component('app', { version: '1.0.1' })])),
      format().id(input([component('app')], { remove: [{ name: artifactNameSchema.parse('old'), version: '1.0.0' }] })),
    ];
    assert.equal(new Set([id, ...others]).size, 6);
  });

  it('has a script that every shell can read, whatever a manifest says', async () => {
    await fc.assert(
      fc.asyncProperty(anyInput, async (wanted) => {
        const script = filesOf(await compose(wanted)).get('leonore.sh') as Buffer;
        const { status, stderr } = spawnSync('sh', ['-n'], { input: script, encoding: 'utf8' });
        assert.deepEqual([status, stderr], [0, '']);
      }),
      { numRuns: 20 },
    );
  });

  it('is refused in words that say what to do', () => {
    const wanted = input([component('app')]);
    assert.equal(format().refusal(wanted), undefined);
    assert.match(
      format({ signer: undefined }).refusal(wanted) ?? '',
      /no key to sign it with; start it with --swu-key FILE and --swu-cert FILE/,
    );
    assert.match(
      format({ now: () => 1001 }).refusal(wanted) ?? '',
      /ended on 1970-01-01T00:00:01\.000Z; renew --swu-cert/,
    );
    assert.match(format().refusal(input([image('os')])) ?? '', /os 1\.0\.0 is an image, which is delivered as it is/);
    const zstdOnly = component('app', {
      segments: [{ encoding: 'zstd', sha256: wanted.components[0]!.artifact.contentSha256, size: 5 }],
    });
    assert.match(format().refusal(input([zstdOnly])) ?? '', /app 1\.0\.0 is not published as gzip/);
    assert.match(format().refusal(input([component('app', { size: 2 ** 32 })])) ?? '', /more than 4 GiB/);
  });
});
