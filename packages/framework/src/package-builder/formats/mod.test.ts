import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { EMPTY_PROFILE, isLeonoreError, type GatewayProfile } from '@leonore/protocol';
import { createFormats } from './all-formats.ts';
import { chooseFormat, packageFormatsOf } from './mod.ts';
import { component, image, input } from './swupdate/testing/inputs.ts';

const formatsOf = (origin: 'enrolled' | 'created' | 'ddi', profile: Partial<GatewayProfile>) =>
  packageFormatsOf({ origin, profile: { ...EMPTY_PROFILE, ...profile } });

describe('the formats of a gateway', () => {
  it('are those that it names, else archives, and an image for those of other makers', () => {
    const encodings: GatewayProfile['encodings'] = ['zstd', 'gzip'];
    assert.deepEqual(formatsOf('enrolled', { encodings }), ['tar.zst', 'tar.gz']);
    assert.deepEqual(formatsOf('created', { encodings }), ['tar.zst', 'tar.gz', 'image']);
    assert.deepEqual(formatsOf('ddi', { encodings, formats: ['swu', 'image'] }), ['swu', 'image']);
    assert.deepEqual(formatsOf('enrolled', { encodings, formats: ['image', 'tar.gz'] }), ['tar.gz']);
  });

  it('decide what is made; where none fits, each says why', async () => {
    const formats = await createFormats({}, { now: () => 0 });
    const choose = (accepted: ReturnType<typeof formatsOf>, wanted: Parameters<typeof input>[0]) =>
      chooseFormat(formats, accepted, input(wanted)).format;
    assert.equal(choose(['tar.zst', 'tar.gz', 'image'], [component('app')]), 'tar.gz');
    assert.equal(choose(['tar.zst', 'tar.gz', 'image'], [image('os')]), 'image');
    const refusals = [
      [['tar.gz'], [image('os')], /tar\.gz: os 1\.0\.0 is an image, which only gateways of other makers install/],
      [['image'], [component('app')], /image: app 1\.0\.0 is no image/],
      [
        ['swu', 'image'],
        [component('app')],
        /swu: this node has no key .*--swu-key FILE.*; image: app 1\.0\.0 is no image/,
      ],
    ] as const;
    for (const [accepted, wanted, words] of refusals) {
      assert.throws(
        () => choose(accepted, wanted),
        (error: unknown) => isLeonoreError(error, 'package.format') && words.test(error.message),
      );
    }
  });
});
