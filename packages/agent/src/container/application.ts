/** What the container hosts, and the clear environment its control scripts get. Pure. */
import type { ControlScript, Run } from '@leonore/protocol';
import { runSchema } from '@leonore/protocol';
import { z } from 'zod';

export const applicationSchema = z.object({
  name: z.string(),
  version: z.string(),
  /** Working folder of its scripts. */
  binaryDir: z.string(),
  controlDir: z.string(),
  /** Kept over updates; also how its processes are known again. */
  dataDir: z.string(),
  /** Emptied when it is launched. */
  tmpDir: z.string().optional(),
  /** Binary folders of what it needs. */
  needs: z.array(z.string()).optional(),
  logFile: z.string(),
  run: runSchema.optional(),
  /** Everything its scripts find in their environment, but for LEONORE_SCRIPT. */
  env: z.record(z.string(), z.string()),
});
/** One version of a component, ready to be run. */
export type Application = z.infer<typeof applicationSchema>;
export type RunnableApplication = Application & { readonly run: Run };

export interface EnvironmentFacts {
  readonly name: string;
  readonly version: string;
  readonly gatewayId: string;
  readonly binaryDir: string;
  readonly controlDir: string;
  readonly dataDir: string;
  readonly installPath: string;
  readonly tmpDir: string;
  readonly previousVersion?: string | undefined;
  /** What it needs, in order; `hasBin`: there is a `bin` in its binary folder. */
  readonly needs: readonly { readonly name: string; readonly binaryDir: string; readonly hasBin: boolean }[];
  readonly run?: Run | undefined;
}

export const SYSTEM_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** The manifest's own variables come first, so they cannot hide those that LEONORE promises. */
export function applicationEnvironment(facts: EnvironmentFacts, systemPath = SYSTEM_PATH): Record<string, string> {
  const needed = facts.needs.map((need) => (need.hasBin ? `${need.binaryDir}/bin` : need.binaryDir));
  return {
    ...facts.run?.env,
    PATH: [...needed, systemPath].join(':'),
    HOME: facts.dataDir,
    LANG: 'C.UTF-8',
    TMPDIR: facts.tmpDir,
    LEONORE_NAME: facts.name,
    LEONORE_VERSION: facts.version,
    LEONORE_GATEWAY_ID: facts.gatewayId,
    LEONORE_BINARY_DIR: facts.binaryDir,
    LEONORE_CONTROL_DIR: facts.controlDir,
    LEONORE_DATA_DIR: facts.dataDir,
    LEONORE_INSTALL_PATH: facts.installPath,
    ...(facts.previousVersion === undefined ? {} : { LEONORE_PREVIOUS_VERSION: facts.previousVersion }),
    ...Object.fromEntries(facts.needs.map((need) => [`LEONORE_PATH_${variableName(need.name)}`, need.binaryDir])),
  };
}

function variableName(name: string): string {
  return name.toUpperCase().replaceAll(/[^A-Z0-9]/g, '_');
}

/** The environment of one script: the application's, and which script it is. */
export function scriptEnvironment(application: Application, script: ControlScript): Record<string, string> {
  return { ...application.env, LEONORE_SCRIPT: script };
}
