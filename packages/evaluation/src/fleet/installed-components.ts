/** What is on a gateway after a package: the pure part of an installation. */
import type { InstalledComponent, PackageManifest } from '@leonore/protocol';

export function afterPackage(
  before: readonly InstalledComponent[],
  manifest: Pick<PackageManifest, 'components' | 'keep' | 'remove'>,
): InstalledComponent[] {
  const removed = new Set<string>(manifest.remove.map(({ name }) => name));
  const byName = new Map(before.filter(({ name }) => !removed.has(name)).map((one) => [one.name, one]));
  for (const { name, requested } of manifest.keep) {
    const kept = byName.get(name);
    if (kept) byName.set(name, { ...kept, requested });
  }
  for (const { name, version, requested, run } of manifest.components) {
    byName.set(name, { name, version, requested, state: run ? 'running' : 'installed' });
  }
  return [...byName.values()];
}
