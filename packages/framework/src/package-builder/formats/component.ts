/** A component as every package's manifest has it, whatever the format. Pure. */
import type { Component } from './mod.ts';

/** All but its segment and its files. */
export function describeComponent({ step, artifact }: Pick<Component, 'step' | 'artifact'>) {
  const { installPath, run } = artifact.manifest;
  return {
    name: step.name,
    version: step.version,
    action: step.action === 'update' ? ('update' as const) : ('install' as const),
    ...(step.from === undefined ? {} : { replaces: step.from }),
    requested: step.requested,
    ...(installPath === undefined ? {} : { installPath }),
    after: step.after,
    ...(run === undefined ? {} : { run }),
    contentSha256: artifact.contentSha256,
    unpackedSize: artifact.unpackedSize,
  };
}
