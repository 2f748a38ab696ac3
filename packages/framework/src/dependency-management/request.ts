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

/** The request in one canonical form: requests with equal inputs have equal answers from equal catalogues. */
export function solveInput(request: ResolveRequest): unknown {
  const { platform, compatibleArchs = [], capabilities, resources, applications, installed, upgrade } = request;
  return [
    [platform.os ?? null, platform.arch ?? null, platform.libc ?? null, ...compatibleArchs],
    Object.entries(capabilities).toSorted(byFirst),
    [resources?.memory ?? null, resources?.disk ?? null],
    applications.map(({ name, range }) => [name, range]),
    installed.map(({ name, version, requested }) => [name, version, requested] as const).toSorted(byFirst),
    upgrade,
  ];
}

/**
 * SHA-256 (hex) over all the answer depends on, so that callers solve once for each class of gateways.
 * With `revision` (the catalogue's) it names the answer itself, without it the class over time.
 */
export function gatewayClassKey(request: ResolveRequest, revision?: number): string {
  const input = JSON.stringify([solveInput(request), revision ?? null]);
  return createHash('sha256').update(input).digest('hex');
}

function byFirst(a: readonly [string, ...unknown[]], b: readonly [string, ...unknown[]]): number {
  return a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0;
}
