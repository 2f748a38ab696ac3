import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { EMPTY_PROFILE, type GatewayProfile } from '@leonore/protocol';
import { withAttributes } from './attribute-facts.ts';

const told = (attributes: Record<string, string>, profile: Partial<GatewayProfile> = {}) => {
  const { os, arch, libc, formats, disk } = withAttributes({ ...EMPTY_PROFILE, ...profile }, attributes);
  return { os, arch, libc, formats, disk };
};

describe('attributes as facts', () => {
  it('tell platform, formats and disk, where they are words that LEONORE knows', () => {
    assert.deepEqual(
      told({
        os: 'linux',
        'leonore.arch': 'arm64',
        arch: 'aarch64',
        libc: 'GNU libc 2.36',
        formats: 'swu, image nonsense swu',
        'disk-free': '64MiB',
      }),
      {
        os: 'linux',
        arch: 'arm64',
        libc: undefined,
        formats: ['swu', 'image'],
        disk: { free: 2 ** 26, total: 2 ** 26 },
      },
    );
    assert.deepEqual(told({ 'disk-free': 'much', formats: 'rpm', hwRevision: '2' }), {
      os: undefined,
      arch: undefined,
      libc: undefined,
      formats: undefined,
      disk: undefined,
    });
  });
  it('do not change what an operator has said', () => {
    const { arch, os } = told({ arch: 'arm', os: 'linux' }, { arch: 'arm64' });
    assert.deepEqual({ arch, os }, { arch: 'arm64', os: 'linux' });
  });
  it('follow the attributes: another word replaces theirs, and goes with them', () => {
    const first = withAttributes(EMPTY_PROFILE, { arch: 'arm', formats: 'image', 'disk-free': '5', 'disk-total': '9' });
    assert.deepEqual(first.disk, { free: 5, total: 9 });
    const second = withAttributes(first, { arch: 'arm64' });
    assert.deepEqual([second.arch, second.formats, second.disk], ['arm64', undefined, undefined]);
    assert.deepEqual(second.attributes, { arch: 'arm64' });
  });
});
