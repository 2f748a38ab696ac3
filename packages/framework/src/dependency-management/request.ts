/** What the resolver is asked, and the name of a class of gateways that all get the same answer. */
import { createHash } from 'node:crypto';
import type { ApplicationRequest, ArtifactName, Platform } from '@leonore/protocol';

export interface InstalledVersion {
  readonly name: ArtifactName;
  readonly version: string;
  /** True when somebody asked for it, false when it came as a dependency. */
  readonly requested: boolean;
}

export interface ResolveRequest {
  readonly platform: Platform;
  /** Other architectures whose builds run there too, the preferred one first. */
  readonly compatibleArchs?: readonly string[];
  /** The gateway's own, with their versions. */
  readonly capabilities: Readonly<Record<string, string>>;
  /** Bytes: memory in all, disk that is free. What is absent is not limited. */
  readonly resources?: { readonly memory?: number; readonly disk?: number };
  /** Everything this gateway shall have, old and new; what comes first is served first when not all can be newest. */
  readonly applications: readonly ApplicationRequest[];
  /** What LEONORE put there. */
  readonly installed: readonly InstalledVersion[];
  /** True: newest first even where something that fits is installed. */
  readonly upgrade: boolean;
}

/**
 * SHA-256 (hex) over what makes a class of gateways: all that an answer depends on save the catalogue and how much memory
 * and disk there is. How far it holds for more or less of those an answer says itself (`Answer.holdsFor`); here it counts
 * only whether they are known.
 */
export function gatewayClassKey(request: ResolveRequest): string {
  const { platform, compatibleArchs = [], capabilities, resources, applications, installed, upgrade } = request;
  const input = [
    [platform.os ?? null, platform.arch ?? null, platform.libc ?? null, ...compatibleArchs],
    Object.entries(capabilities).toSorted(byFirst),
    [resources?.memory !== undefined, resources?.disk !== undefined],
    applications.map(({ name, range }) => [name, range]),
    installed.map(({ name, version, requested }) => [name, version, requested] as const).toSorted(byFirst),
    upgrade,
  ];
  return createHash('sha256').update(JSON.stringify(input)).digest('hex');
}

function byFirst(a: readonly [string, ...unknown[]], b: readonly [string, ...unknown[]]): number {
  return a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0;
}
