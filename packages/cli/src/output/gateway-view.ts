/** A gateway for a terminal: who it is, what it is made of, what runs on it, how it is doing. Pure. */
import type { Gateway, InstalledComponent, NetworkInterface } from '@leonore/protocol';
import { harmless, type Paint, paintState } from './paint.ts';
import { formatAge, formatBytes, formatDuration, formatTime } from './quantities.ts';
import { type Column, renderFacts, renderTable } from './table.ts';

type Profile = Gateway['profile'];
type Rows = readonly (readonly [string, string | undefined])[];

export function renderGateway(gateway: Gateway, paint: Paint, now: number): string[] {
  const { profile } = gateway;
  const sections: readonly (readonly [string, readonly string[]])[] = [
    ['hardware', renderFacts(hardware(profile), paint)],
    ['software', renderFacts(software(profile), paint)],
    ['network', renderFacts(network(profile), paint)],
    [
      'facts',
      renderFacts(
        Object.entries(profile.facts ?? {}).map(([key, value]) => [key, harmless(String(value))]),
        paint,
      ),
    ],
    [
      'attributes',
      renderFacts(
        Object.entries(profile.attributes).map(([key, value]) => [harmless(key), harmless(value)]),
        paint,
      ),
    ],
    ['applications', applications(gateway, paint, now)],
    ['now', renderFacts(condition(profile, paint, now), paint)],
  ];
  const shown = sections.filter(([, lines]) => lines.length > 0);
  return [
    ...renderFacts(identity(gateway, paint, now), paint),
    ...shown.flatMap(([title, lines]) => ['', paint.strong(title.toUpperCase()), ...lines.map((line) => `  ${line}`)]),
  ];
}

export function platformOf({ os, arch, libc }: Profile): string {
  return harmless([os, arch, libc].filter(Boolean).join('/')) || '?';
}

/** `3`, or `3, 1 failed`; `?` where the gateway does not say. */
export function installedText({ installed }: Profile, paint: Paint): string {
  if (installed === undefined) return '?';
  const failed = installed.filter(({ state }) => state === 'failed').length;
  return failed === 0 ? String(installed.length) : `${installed.length}, ${paint.bad(`${failed} failed`)}`;
}

function identity(gateway: Gateway, paint: Paint, now: number): Rows {
  const { profile, task } = gateway;
  return [
    ['id', paint.strong(harmless(gateway.id))],
    ['state', gateway.connected ? paintState(paint, 'connected') : `last seen ${formatAge(gateway.lastSeenAt, now)}`],
    [
      'polls',
      gateway.hastyPolls === undefined
        ? undefined
        : paint.bad(`${gateway.hastyPolls} times in one poll interval, far too often`),
    ],
    ['enrolled', formatTime(gateway.enrolledAt)],
    ['labels', pairs({ ...profile.labels, ...gateway.labels })],
    ['host', word(profile.hostname)],
    ['desired', gateway.desired.map(({ name, range }) => `${name}@${range}`).join(', ')],
    ['task', task && `${task.id} of rollout ${task.rollout}: ${paintState(paint, task.state)}`],
  ];
}

function hardware({ board, serial, cpu, memory, disk }: Profile): Rows {
  return [
    ['board', word(board)],
    ['serial', word(serial)],
    ['cpu', cpu && `${cpu.cores} × ${harmless(cpu.model ?? 'unknown')}`],
    ['features', word(cpu?.features?.join(' '))],
    ['memory', memory && formatBytes(memory.total)],
    ['disk', disk && formatBytes(disk.total)],
  ];
}

function software(profile: Profile): Rows {
  const { distribution, libc, libcVersion, compatibleArchs, cgroup, agent } = profile;
  const system = distribution && (distribution.name ?? `${distribution.id} ${distribution.version ?? ''}`);
  return [
    ['system', word(system?.trim())],
    ['platform', platformOf(profile)],
    ['also runs', word(compatibleArchs?.join(', '))],
    ['kernel', word(profile.kernel)],
    ['libc', libcVersion && word(`${libc ?? ''} ${libcVersion}`)],
    ['cgroups', cgroup === undefined ? undefined : `version ${cgroup}`],
    ['has', pairs(profile.capabilities, ' ')],
    ['agent', agent && harmless(`${agent.name} ${agent.version}`)],
    ['strategies', profile.strategies.join(', ')],
    ['formats', (profile.formats ?? profile.encodings).join(', ')],
  ];
}

function network({ network: found }: Profile): Rows {
  if (!found) return [];
  const { route } = found;
  return [
    ...found.interfaces.map((one) => [harmless(one.name), interfaceText(one)] as const),
    [
      'route',
      route && harmless(route.address === undefined ? route.interface : `${route.address} over ${route.interface}`),
    ],
    ['subnet', word(found.subnet)],
  ];
}

function interfaceText({ kind, addresses, mac }: NetworkInterface): string {
  const where = addresses.length === 0 ? 'no address' : addresses.join(', ');
  return harmless([kind, where, mac].filter(Boolean).join('  '));
}

function applications(gateway: Gateway, paint: Paint, now: number): string[] {
  const installed = gateway.profile.installed ?? [];
  if (installed.length === 0) return [];
  // By the gateway's own clock, which may be wrong.
  const there = now + (gateway.profile.clock?.offset ?? 0) * 1000;
  const since = ({ since: at, state, lastExit }: InstalledComponent) =>
    formatSince(state === 'running' || state === 'starting' ? at : lastExit?.at, there);
  const columns: Column<InstalledComponent>[] = [
    { title: 'name', value: ({ name }) => name },
    { title: 'version', value: ({ version }) => version },
    { title: 'state', value: ({ state }) => paintState(paint, state) },
    { title: 'for', value: since, align: 'right' },
    { title: 'restarts', value: ({ restarts }) => String(restarts ?? 0), align: 'right' },
    { title: 'why', value: ({ requested }) => (requested ? 'asked for' : 'needed by another') },
    { title: 'note', value: noteOf },
  ];
  // Columns about nothing are left out.
  const told: Readonly<Record<string, boolean>> = {
    for: installed.some((one) => since(one) !== ''),
    restarts: installed.some(({ restarts }) => restarts !== undefined),
    note: installed.some((one) => noteOf(one) !== ''),
  };
  return renderTable(
    installed,
    columns.filter(({ title }) => told[title] ?? true),
    { paint },
  );
}

function formatSince(at: number | undefined, now: number): string {
  return at === undefined ? '' : formatDuration(now - at);
}

function noteOf({ note, executor, limits, lastExit }: InstalledComponent): string {
  const exit =
    lastExit?.why ??
    (lastExit?.signal === undefined
      ? lastExit?.code === undefined
        ? undefined
        : `ended with ${lastExit.code}`
      : `ended by ${lastExit.signal}`);
  const limited = limits && [
    ...(limits.cpu === undefined ? [] : [`${limits.cpu} cpu`]),
    ...(limits.memory === undefined ? [] : [formatBytes(limits.memory)]),
    ...(limits.processes === undefined ? [] : [`${limits.processes} processes`]),
  ];
  const by = limits && limited && limited.length > 0 ? `at most ${limited.join(', ')} (${limits.by})` : undefined;
  return harmless([executor && `runs in ${executor}`, by, exit, note].filter(Boolean).join('; '));
}

/** Figures are told when they have moved by a step, so they are of about then. */
function condition(profile: Profile, paint: Paint, now: number): Rows {
  const { load, temperature, memory, disk, uptime, clock, reportedAt } = profile;
  const upFor = uptime === undefined ? undefined : uptime * 1000 + (reportedAt === undefined ? 0 : now - reportedAt);
  return [
    ['up', upFor === undefined ? undefined : formatDuration(upFor)],
    ['load', load === undefined ? undefined : `${load}${profile.cpu ? ` of ${profile.cpu.cores}` : ''}`],
    [
      'memory',
      memory?.free === undefined ? undefined : `${formatBytes(memory.free)} free of ${formatBytes(memory.total)}`,
    ],
    ['disk', disk && `${formatBytes(disk.free)} free of ${formatBytes(disk.total)}`],
    ['temperature', temperature === undefined ? undefined : `${temperature} °C`],
    ['clock', clockText(clock, paint)],
    ['told', reportedAt === undefined ? undefined : formatAge(reportedAt, now)],
  ];
}

function clockText(clock: Profile['clock'], paint: Paint): string | undefined {
  if (!clock) return undefined;
  const { offset, synchronised } = clock;
  const off =
    offset === undefined
      ? undefined
      : offset === 0
        ? 'right'
        : paint.bad(`${formatDuration(Math.abs(offset) * 1000)} ${offset > 0 ? 'ahead' : 'behind'}`);
  const service = synchronised === undefined ? undefined : synchronised ? 'synchronised' : 'not synchronised';
  return [off, service].filter(Boolean).join(', ');
}

function word(text: string | undefined): string | undefined {
  return text && harmless(text);
}

function pairs(record: Readonly<Record<string, string>>, between = '='): string {
  return harmless(
    Object.entries(record)
      .map(([key, value]) => `${key}${between}${value}`)
      .join(', '),
  );
}
