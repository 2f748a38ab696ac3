/**
 * What gateways of other makers say in DDI's configData and LEONORE can use: `os`, `arch`, `libc`, `formats`, `disk-free` and
 * `disk-total`, each also with `leonore.` before it, which then counts. An operator's word in the profile stands. Pure.
 */
import { bytesSchema, packageFormatSchema, platformSchema, type GatewayProfile } from '@leonore/protocol';

type Attributes = Readonly<Record<string, string>>;
type Facts = Partial<Pick<GatewayProfile, 'os' | 'arch' | 'libc' | 'formats' | 'disk'>>;

const PREFIX = 'leonore.';
const FACTS = ['os', 'arch', 'libc', 'formats', 'disk'] as const satisfies readonly (keyof Facts)[];

/** The profile with these attributes in place of its former ones. What it had of those changes with them. */
export function withAttributes(profile: GatewayProfile, attributes: Record<string, string>): GatewayProfile {
  const before = factsOf(profile.attributes);
  const now = factsOf(attributes);
  const own = FACTS.filter((key) => profile[key] !== undefined && !same(profile[key], before[key]));
  const { os: _os, arch: _arch, libc: _libc, formats: _formats, disk: _disk, ...others } = profile;
  const kept = Object.fromEntries(own.map((key) => [key, profile[key]]));
  return { ...others, ...now, ...kept, attributes };
}

function factsOf(attributes: Attributes): Facts {
  const said = (key: string) => attributes[PREFIX + key] ?? attributes[key];
  const platform = (['os', 'arch', 'libc'] as const).flatMap((key) => {
    const word = said(key);
    return word !== undefined && platformSchema.safeParse({ [key]: word }).success ? [[key, word] as const] : [];
  });
  const formats = (said('formats') ?? '').split(/[\s,]+/).flatMap((word) => {
    const format = packageFormatSchema.safeParse(word);
    return format.success ? [format.data] : [];
  });
  const free = bytesOf(said('disk-free'));
  const total = bytesOf(said('disk-total')) ?? free;
  return {
    ...Object.fromEntries(platform),
    ...(formats.length === 0 ? {} : { formats: [...new Set(formats)] }),
    ...(free === undefined || total === undefined ? {} : { disk: { free, total } }),
  };
}

function bytesOf(text: string | undefined): number | undefined {
  const bytes = bytesSchema.safeParse(text);
  return bytes.success ? bytes.data : undefined;
}

function same(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
