/** For tests: what a format is asked to carry, generated. */
import { createHash } from 'node:crypto';
import {
  artifactManifestSchema,
  artifactNameSchema,
  planStepSchema,
  sha256Schema,
  type Segment,
  type Sha256,
} from '@leonore/protocol';
import fc from 'fast-check';
import type { Component, FormatInput } from '../../mod.ts';

export const sha = (text: string): Sha256 => sha256Schema.parse(createHash('sha256').update(text).digest('hex'));

export function component(
  name: string,
  more: {
    version?: string;
    size?: number;
    needs?: readonly string[];
    manifest?: object;
    segments?: readonly Segment[];
  } = {},
): Component {
  const { version = '1.0.0', size = 100, needs = [], manifest = {} } = more;
  const contentSha256 = sha(`${name} ${version}`);
  const { segments = [{ encoding: 'gzip' as const, sha256: sha(`gzip ${contentSha256}`), size }] } = more;
  return {
    step: planStepSchema.parse({
      action: 'install',
      name,
      version,
      platform: {},
      requested: true,
      because: 'requested',
      after: needs,
    }),
    artifact: {
      manifest: artifactManifestSchema.parse({ name, version, ...manifest }),
      contentSha256,
      unpackedSize: size,
      fileCount: 1,
      segments: [...segments],
      publishedAt: 1,
    },
    files: [{ path: `binary/${name}/file`, mode: 0o644, size, sha256: sha(`file ${name}`) }],
  };
}

/** An image's component. */
export function image(name: string, version = '1.0.0', size = 1000): Component {
  const segments = [{ encoding: 'raw' as const, sha256: sha(`${name} ${version}`), size }];
  const manifest = { kind: 'image', image: { part: 'bApp', file: `${name}.bin` } };
  return component(name, { version, size, manifest, segments });
}

export function input(components: readonly Component[], more: Partial<FormatInput> = {}): FormatInput {
  return {
    gatewayClass: { id: 'linux-any-any-swu', platform: { os: 'linux' } },
    components,
    keep: [],
    remove: [],
    ...more,
  };
}

const name = fc.stringMatching(/^[a-z][a-z0-9]{0,8}([._-][a-z0-9]{1,6}){0,2}$/);
const named = fc.record({
  name: name.map((text) => artifactNameSchema.parse(text)),
  version: fc.constantFrom('1.0.0', '2.1.3-rc.1'),
});

export const anyInput: fc.Arbitrary<FormatInput> = fc
  .uniqueArray(fc.tuple(named, fc.integer({ min: 1, max: 5000 }), fc.string(), fc.boolean()), {
    selector: ([{ name: one }]) => one,
    maxLength: 6,
  })
  .map((all) => {
    const components = all.slice(0, 4).map(([{ name: one, version }, size, text, runs], index) =>
      component(one, {
        version,
        size,
        needs: all.slice(0, Math.min(index, 2)).map(([need]) => need.name),
        manifest: runs ? { run: { env: { TEXT: text } }, installPath: `/opt/${one}` } : {},
      }),
    );
    const remove = all.slice(4).map(([one]) => ({ ...one }));
    return input(components, { remove });
  });
