/** Applications for tests of the container, as the agent makes them: folders on disk and what the container is told of them. */
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Run, runSchema } from '@leonore/protocol';
import { silentLogger } from '../connectivity/mod.ts';
import {
  type Application,
  applicationEnvironment,
  type Container,
  type ContainerOptions,
  createContainer,
  findMarked,
  type MarkedProcess,
  terminate,
} from '../container/mod.ts';

/** What a manifest may say under `run`. */
export type RunSketch = Readonly<Record<string, unknown>>;

export interface ApplicationSketch {
  readonly name?: string;
  readonly version?: string;
  /** Shell scripts in control/. */
  readonly scripts?: Readonly<Record<string, string>>;
  /** Null = nothing to run. */
  readonly run?: RunSketch | null;
}

/** Nothing runs yet. */
export async function makeApplication(root: string, sketch: ApplicationSketch): Promise<Application> {
  const { name = 'app', version = '1.0.0', scripts = {}, run = {} } = sketch;
  const at = join(root, 'components', name, version);
  const [binaryDir, controlDir] = [join(at, 'binary'), join(at, 'control')];
  const [dataDir, tmpDir] = [join(root, 'data', name), join(root, 'tmp', name)];
  for (const dir of [binaryDir, controlDir, dataDir, join(root, 'run'), join(root, 'logs')]) {
    await mkdir(dir, { recursive: true });
  }
  for (const [script, text] of Object.entries(scripts)) {
    await writeFile(join(controlDir, script), `#!/bin/sh\n${text}\n`);
    await chmod(join(controlDir, script), 0o755);
  }
  const facts = { name, version, gatewayId: 'gw-1', binaryDir, controlDir, dataDir, tmpDir, installPath: binaryDir };
  const parsed: Run | undefined = run ? runSchema.parse({ stopTimeoutSeconds: 1, ...run }) : undefined;
  return {
    name,
    version,
    binaryDir,
    controlDir,
    dataDir,
    tmpDir,
    logFile: join(root, 'logs', `${name}.log`),
    ...(parsed ? { run: parsed } : {}),
    env: applicationEnvironment({ ...facts, needs: [], run: parsed }),
  };
}

/** That is quick. */
export function testContainer(root: string, change: Partial<ContainerOptions> = {}): Container {
  const timing = { initialMs: 50, maxMs: 400, settleMs: 200, tickMs: 50, scriptMs: 5000, logMs: 50, ...change.timing };
  return createContainer({ runDir: join(root, 'run'), logger: silentLogger, ...change, timing });
}

/** Ends what is left of them at the end of a test, whatever happens in it. */
export function endingAll(...applications: readonly Application[]): AsyncDisposable {
  return {
    async [Symbol.asyncDispose]() {
      for (const { dataDir } of applications) await terminate(dataDir, { graceMs: 0 });
    },
  };
}

export async function started(app: Application): Promise<MarkedProcess[]> {
  return (await findMarked(app.dataDir)).filter((one) => one.script === 'start');
}

export function textOf(path: string): Promise<string> {
  return readFile(path, 'utf8').catch(() => '');
}
