import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { artifactNameSchema, packageContentsSchema } from '@leonore/protocol';
import { createImageFormat } from './image-format.ts';
import { component, image, input, sha } from '../swupdate/testing/inputs.ts';

const format = createImageFormat();
const kept = { name: artifactNameSchema.parse('boot'), version: '1.0.0', requested: true, after: [] };

describe('an image', () => {
  it('is delivered as the one blob that it is, under its own name', async () => {
    const made = await format.compose(input([image('press-os', '4.2.0', 7)], { keep: [kept] }));
    assert.deepEqual(made.parts, [{ kind: 'blob', sha256: sha('press-os 4.2.0'), length: 7 }]);
    assert.deepEqual([made.own.length, made.headerSize, made.size], [0, 0, 7]);
    assert.deepEqual([made.fileName, made.sha256], ['press-os.bin', sha('press-os 4.2.0')]);
    const manifest = packageContentsSchema.parse(made.manifest);
    assert.deepEqual([manifest.part, manifest.encoding, manifest.payloadSize], ['bApp', 'raw', 7]);
    assert.deepEqual(manifest.components[0]?.segment, { offset: 0, length: 7, sha256: sha('press-os 4.2.0') });
    const path = 'image/press-os/press-os.bin';
    assert.deepEqual(manifest.components[0]?.files, [{ path, mode: 0o644, size: 7, sha256: sha('press-os 4.2.0') }]);
    assert.equal(made.id, format.id(input([image('press-os', '4.2.0', 7)], { keep: [kept] })));
    assert.notEqual(made.id, format.id(input([image('press-os', '4.2.1', 7)], { keep: [kept] })));
  });

  it('travels alone', () => {
    const refusal = (...args: Parameters<typeof input>) => format.refusal(input(...args)) ?? '';
    assert.equal(format.refusal(input([image('a')], { keep: [kept] })), undefined);
    assert.match(refusal([component('app')]), /app 1\.0\.0 is no image/);
    assert.match(
      refusal([image('a'), image('b')]),
      /one image, not a 1\.0\.0 and b 1\.0\.0; roll them out one after the other/,
    );
    assert.match(
      refusal([image('a')], { remove: [kept] }),
      /boot 1\.0\.0 would have to go; an image is only ever replaced/,
    );
    assert.match(refusal([], { remove: [kept] }), /removes nothing/);
    assert.match(refusal([]), /no image to deliver/);
  });
});
