/** `leonore artifact tree`: what a version brings in, whatever the gateway. */
import { type Artifact, artifactNameSchema, LeonoreError } from '@leonore/protocol';
import type { App } from '../app.ts';
import { emitOne, type OutputFormat } from '../output/emit.ts';
import { neededNames, renderNeeds } from '../output/need-tree.ts';
import type { ConnectionFlags } from '../settings/connection.ts';
import { parseNameAndVersion } from './words.ts';

export async function treeCommand(
  text: string,
  flags: ConnectionFlags & { readonly output: OutputFormat },
  app: App,
): Promise<void> {
  const { name, version } = parseNameAndVersion(text);
  if (!artifactNameSchema.safeParse(name).success) {
    throw new LeonoreError('cli.usage', `"${text}" is no artifact; it reads like svm or svm@1.2.28`);
  }
  const client = await app.connect(flags);
  const { signal } = app.terminal;
  const wanted = version ?? newestOf(await client.artifacts.builds(name, undefined, { signal }));
  const needs = await client.artifacts.needs(name, wanted, { signal });
  await emitOne(app.terminal, flags.output, needs, {
    name: (answer) => [`${answer.name}@${answer.version}`, ...neededNames(answer.needs)].join('\n'),
    render: renderNeeds,
  });
}

/** What would be taken without another word: the newest that is neither withdrawn nor a pre-release, if there is one. */
function newestOf(builds: readonly Artifact[]): string {
  const offered = builds.filter(({ withdrawnAt }) => withdrawnAt === undefined);
  const release = offered.find(({ manifest }) => !manifest.version.includes('-'));
  return (release ?? offered[0] ?? builds[0])?.manifest.version ?? '';
}
