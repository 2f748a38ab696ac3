/** `leonore artifact usage`: who runs an artifact and who needs it; also said before a version is withdrawn. */
import { type ArtifactUsage, type Dependent, platformKey } from '@leonore/protocol';
import type { App } from '../app.ts';
import { emitOne, type OutputFormat } from '../output/emit.ts';
import { harmless, type Paint } from '../output/paint.ts';
import { renderFacts, renderTable } from '../output/table.ts';
import type { ConnectionFlags } from '../settings/connection.ts';
import { parseApplication } from './provision.ts';
import { counted } from './words.ts';

type Flags = ConnectionFlags & { readonly output: OutputFormat; readonly transitive?: boolean };

export async function usageCommand(text: string, flags: Flags, app: App): Promise<void> {
  const { name, range } = parseApplication(text);
  const client = await app.connect(flags);
  const query = { range: text.includes('@') ? range : undefined, transitive: flags.transitive };
  const usage = await client.artifacts.usage(name, query, { signal: app.terminal.signal });
  await emitOne(app.terminal, flags.output, usage, {
    name: ({ versions }) => versions.map(({ version }) => `${name}@${harmless(version)}`).join('\n'),
    render: describe,
  });
}

function describe(usage: ArtifactUsage, paint: Paint): string[] {
  const lines = renderFacts(
    [
      ['artifact', paint.strong([usage.name, usage.range].filter(Boolean).join(' '))],
      ['gateways', String(usage.gateways)],
      ['for example', usage.examples.map(({ id, version }) => `${harmless(id)} (${version})`).join(', ')],
      ['rollouts', usage.rollouts === 0 ? 'no running one asks for it' : counted(usage.rollouts, 'running one')],
    ],
    paint,
  );
  if (usage.versions.length > 0) {
    const columns = [
      { title: 'version', value: ({ version }: Version) => harmless(version) },
      { title: 'gateways', value: ({ gateways }: Version) => String(gateways), align: 'right' as const },
      { title: 'state', value: ({ state }: Version) => paintState(state, paint) },
    ];
    lines.push('', ...renderTable(usage.versions, columns, { paint }));
  }
  if (usage.dependents.length === 0) return [...lines, '', 'nothing that is published needs it'];
  const columns = [
    { title: 'needed by', value: (one: Dependent) => `${one.name} ${one.version}` },
    { title: 'platform', value: (one: Dependent) => platformKey(one.platform) },
    { title: 'needs', value: (one: Dependent) => harmless(one.needs.join(', ')) },
    { title: 'by way of', value: (one: Dependent) => one.path.join(', ') || '-' },
    { title: 'state', value: (one: Dependent) => paintState(one.withdrawn ? 'withdrawn' : 'published', paint) },
  ];
  lines.push('', ...renderTable(usage.dependents, columns, { paint }));
  if (usage.moreDependents > 0) lines.push(`and ${usage.moreDependents} more`);
  return lines;
}

type Version = ArtifactUsage['versions'][number];

function paintState(state: Version['state'], paint: Paint): string {
  return state === 'published' ? state : state === 'withdrawn' ? paint.bad(state) : paint.busy('not published here');
}

const SHOWN = 5;

/** `14 gateways run it: gw-1, gw-2, ...; building-monitor 1.4.2 needs it` */
export function usageSentence(usage: ArtifactUsage): string {
  const { gateways, examples, rollouts, dependents, moreDependents } = usage;
  const ids = examples.slice(0, SHOWN).map(({ id }) => harmless(id));
  const labels = [
    ...new Set(dependents.filter(({ withdrawn }) => !withdrawn).map(({ name, version }) => `${name} ${version}`)),
  ];
  const rest = labels.length - SHOWN + moreDependents;
  const needing = labels.slice(0, SHOWN).join(', ') + (rest > 0 ? ` and ${rest} more` : '');
  return [
    gateways === 0
      ? 'no gateway runs it'
      : `${counted(gateways, 'gateway')} ${gateways === 1 ? 'runs' : 'run'} it: ${ids.join(', ')}${gateways > ids.length ? ', ...' : ''}`,
    ...(rollouts > 0 ? [`${counted(rollouts, 'running rollout')} ${rollouts === 1 ? 'asks' : 'ask'} for it`] : []),
    needing === ''
      ? 'nothing that is published needs it'
      : `${needing} ${labels.length + moreDependents === 1 ? 'needs' : 'need'} it`,
  ].join('; ');
}
