/** The store for a terminal: what it holds, how full it is, what of it is damaged. Pure. */
import type { Damage, StoreStatus, Verification } from '@leonore/protocol';
import type { Paint } from './paint.ts';
import { formatBytes, formatTime } from './quantities.ts';
import { type Column, renderFacts, renderTable } from './table.ts';

const BAR = 24;

export function renderStore(status: StoreStatus, paint: Paint): string[] {
  const { segments, deltas, uploads, packages, quota, disk, damages } = status;
  const holds = renderFacts(
    [
      ['segments', amount(segments)],
      ['deltas', amount(deltas)],
      ['uploads', `${amount(uploads)}${uploads.count > 0 ? ', as announced' : ''}`],
      ['packages', String(packages.count)],
      ['store', share(quota.used, quota.limit, paint)],
      ['disk', share(disk.total - disk.free, disk.total, paint)],
      ['free', `${formatBytes(disk.free)}, ${formatBytes(disk.keepFree)} of it are kept free`],
      ['state', stateText(disk.state, paint)],
      ['damaged', damages.length === 0 ? paint.good('none known') : paint.bad(blobs(damages.length))],
    ],
    paint,
  );
  return damages.length === 0 ? holds : [...holds, '', ...renderDamages(damages, paint)];
}

export function renderVerification({ ok, blobs: read, bytes, damages }: Verification, paint: Paint): string[] {
  const looked = `${blobs(read)}, ${formatBytes(bytes)} read`;
  if (ok) return [`${paint.good('all right')}: ${looked}, every digest is right`];
  return [
    `${paint.bad(`${damages.length} damaged`)} of ${looked}`,
    '',
    ...renderDamages(damages, paint),
    '',
    'publishing the same build again brings its bytes back; what is damaged is not served',
  ];
}

function renderDamages(damages: readonly Damage[], paint: Paint): string[] {
  const columns: readonly Column<Damage>[] = [
    { title: 'problem', value: ({ problem }) => problem },
    { title: 'blob', value: ({ sha256 }) => sha256 },
    { title: 'found', value: ({ foundAt }) => formatTime(foundAt) },
    { title: 'needed by', value: ({ neededBy }) => neededBy.join('; ') || 'nothing' },
  ];
  return renderTable(damages, columns, { paint });
}

/** `[████····]  31 %  15.5 GiB of 50.0 GiB`. */
function share(used: number, limit: number | undefined, paint: Paint): string {
  if (limit === undefined) return `${formatBytes(used)}, without a limit`;
  const part = limit === 0 ? 1 : Math.min(1, used / limit);
  const drawn = Math.round(part * BAR);
  const colour = part < 0.8 ? paint.good : part < 0.95 ? paint.busy : paint.bad;
  const bar = `[${colour('█'.repeat(drawn))}${paint.faint('·'.repeat(BAR - drawn))}]`;
  return `${bar}  ${Math.floor(part * 100)} %  ${formatBytes(used)} of ${formatBytes(limit)}`;
}

function stateText(state: StoreStatus['disk']['state'], paint: Paint): string {
  switch (state) {
    case 'ok':
      return paint.good('ok');
    case 'low':
      return paint.busy('low: the disk is nearly full');
    case 'full':
      return paint.bad('full: nothing more is taken until there is room');
    default:
      return state satisfies never;
  }
}

const amount = ({ count, bytes }: StoreStatus['segments']) => (count === 0 ? '0' : `${count}, ${formatBytes(bytes)}`);
const blobs = (count: number) => `${count} ${count === 1 ? 'blob' : 'blobs'}`;
