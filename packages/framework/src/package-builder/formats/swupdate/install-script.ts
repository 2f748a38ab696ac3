/**
 * The script that SWUpdate runs for a package: leonore.sh, which is the same for all, and what this package brings as shell
 * functions. Pure. Leaves to others: what the script does with it (leonore.sh).
 */
import type { Run } from '@leonore/protocol';
import type { Component, FormatInput } from '../mod.ts';

export interface PackageFacts extends Pick<FormatInput, 'components' | 'keep' | 'remove'> {
  readonly id: string;
  /** LEONORE's folder on the gateways. */
  readonly root: string;
}

const PACKAGE_BEGINS = '# --- this package ---';
const DEFAULT_TIMEOUTS: Pick<Run, 'healthTimeoutSeconds' | 'stopTimeoutSeconds'> = {
  healthTimeoutSeconds: 30,
  stopTimeoutSeconds: 10,
};
const FOLDER_VERSION_CHARACTERS = 40;
const FOLDER_DIGEST_CHARACTERS = 12;

/** Where a build is unpacked below ROOT/components/NAME: never where another build of it runs. */
export function buildFolder({ step, artifact }: Pick<Component, 'step' | 'artifact'>): string {
  const digest = artifact.contentSha256.slice(0, FOLDER_DIGEST_CHARACTERS);
  return `${step.version.slice(0, FOLDER_VERSION_CHARACTERS)}~${digest}`;
}

export function renderInstallScript(engine: string, { id, root, components, keep, remove }: PackageFacts): string {
  // It names the package's content, so no line of that content is it.
  const end = `END_${id}`;
  const cases = (value: (component: Component) => string) =>
    components.map((component) => `    ${component.step.name}) ${value(component)} ;;\n`).join('');
  const document = (text: string) => `cat <<'${end}'\n${text}${end}\n     `;
  return `${engine.trimEnd()}

${PACKAGE_BEGINS}
ROOT=${quoted(root)}
PACKAGE=${quoted(id)}
COMING=${quoted(components.map(({ step }) => step.name).join(' '))}
KEPT=${quoted(keep.map(({ name, version }) => `${name}=${version}`).join(' '))}
GOING=${quoted(remove.map(({ name }) => name).join(' '))}
coming_folder() {
  case $1 in
${cases((component) => `printf '%s' ${quoted(buildFolder(component))}`)}    *) : ;;
  esac
}
coming_path() {
  case $1 in
${cases(({ artifact }) => `printf '%s' ${quoted(artifact.manifest.installPath ?? '')}`)}    *) : ;;
  esac
}
describe() {
  case $1 in
${cases((component) => document(describe(component)))}    *) : ;;
  esac
}
files() {
  case $1 in
${cases(({ files }) => document(files.map(({ sha256, path }) => `${sha256}  ${path}\n`).join('')))}    *) : ;;
  esac
}
main "$@"
`;
}

/** What leonore.sh keeps beside the unpacked version, as a file to be sourced. */
function describe({ step, artifact }: Component): string {
  const { run, installPath = '' } = artifact.manifest;
  const { healthTimeoutSeconds, stopTimeoutSeconds } = run ?? DEFAULT_TIMEOUTS;
  const variables = Object.entries(run?.env ?? {}).map(([key, value]) => `  export ${key}=${quoted(value)}\n`);
  return `name=${quoted(step.name)}
version=${quoted(step.version)}
install_path=${quoted(installPath)}
needs=${quoted(step.after.join(' '))}
restart=${quoted(run?.restart ?? '')}
health_timeout=${healthTimeoutSeconds}
stop_timeout=${stopTimeoutSeconds}
environment() {
  :
${variables.join('')}}
`;
}

/** One word of the shell, whatever is in it. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
