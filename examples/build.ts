/**
 * Makes the example artifacts ready to publish: each in a folder of its own below the output folder. Two are only there
 * as a recipe: svm's tables are calculated, and the Java ones need a JDK (jlink, javac); without it they are left out
 * with a sentence that says why.
 *
 *     node examples/build.ts [OUT]        by default examples/build
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { access, chmod, cp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { delimiter, join, resolve } from 'node:path';
import { promisify } from 'node:util';

const HERE = import.meta.dirname;
const run = promisify(execFile);

export interface BuiltExamples {
  /** Folders to publish, what is needed by others first. */
  readonly dirs: readonly string[];
  readonly skipped: readonly { readonly name: string; readonly reason: string }[];
}

export interface BuildOptions {
  readonly signal?: AbortSignal;
  readonly env?: Readonly<Record<string, string | undefined>>;
}

export async function buildExamples(outDir: string, options: BuildOptions = {}): Promise<BuiltExamples> {
  const { env = process.env, signal } = options;
  await mkdir(outDir, { recursive: true });
  const dirs = [
    await buildStatic(outDir, 'hello-sensor'),
    await buildSvm(outDir),
    await buildStatic(outDir, 'building-monitor'),
  ];
  const jdk = await findJdk(env);
  if (!jdk) {
    const reason =
      'there is no JDK here (no jlink and javac on the PATH or in JAVA_HOME); on Debian: apt install openjdk-17-jdk-headless';
    return { dirs, skipped: ['jvm', 'java-meter'].map((name) => ({ name, reason })) };
  }
  const skipped: { name: string; reason: string }[] = [];
  for (const { name, build } of [
    { name: 'jvm', build: buildJvm },
    { name: 'java-meter', build: buildJavaMeter },
  ]) {
    try {
      dirs.push(await build(outDir, jdk, signal));
    } catch (error) {
      signal?.throwIfAborted();
      skipped.push({ name, reason: `the JDK in ${jdk} could not make it: ${lastLine(error)}` });
    }
  }
  return { dirs, skipped };
}

/** An artifact's folder as it is in the repository, modes set by what the files are for and not by how git left them. */
async function buildStatic(outDir: string, name: string): Promise<string> {
  const target = await emptyFolder(outDir, name);
  for (const part of ['leonore.yaml', 'binary', 'control']) {
    await cp(join(HERE, name, part), join(target, part), { recursive: true }).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error;
    });
  }
  for (const script of await readdir(join(target, 'control'))) await chmod(join(target, 'control', script), 0o755);
  return target;
}

async function emptyFolder(outDir: string, name: string): Promise<string> {
  const target = join(outDir, name);
  await rm(target, { recursive: true, force: true });
  await mkdir(target, { recursive: true });
  return target;
}

/** 16-bit words in the tables of the virtual machine: 118,000 bytes that no compression makes smaller. */
const TABLE_WORDS = 59_000;

async function buildSvm(outDir: string): Promise<string> {
  const target = await buildStatic(outDir, 'svm');
  const blocks: Buffer[] = [];
  for (let i = 0; i * 32 < TABLE_WORDS * 2; i++) blocks.push(createHash('sha256').update(`svm table ${i}`).digest());
  await mkdir(join(target, 'binary/lib'), { recursive: true });
  await writeFile(join(target, 'binary/lib/tables.img'), Buffer.concat(blocks).subarray(0, TABLE_WORDS * 2));
  return target;
}

/** The folder that holds both `jlink` and `javac`. */
async function findJdk(env: Readonly<Record<string, string | undefined>>): Promise<string | undefined> {
  const home = env['JAVA_HOME'];
  const places = [...(home ? [join(home, 'bin')] : []), ...(env['PATH'] ?? '').split(delimiter).filter(Boolean)];
  for (const place of places) {
    const both = await Promise.all(
      ['jlink', 'javac'].map((tool) =>
        access(join(place, tool)).then(
          () => true,
          () => false,
        ),
      ),
    );
    if (both.every(Boolean)) return place;
  }
  return undefined;
}

async function buildJvm(outDir: string, jdk: string, signal: AbortSignal | undefined): Promise<string> {
  const target = await emptyFolder(outDir, 'jvm');
  const image = join(target, 'binary');
  const { stdout } = await run(join(jdk, 'jlink'), ['--version'], { signal });
  // Not compressed here: a segment that compresses the whole is 4 MB smaller than one of compressed modules.
  // From 21 on the levels have names; the numbers go away.
  const compress = Number.parseInt(stdout, 10) >= 21 ? 'zip-0' : '0';
  const settings = [
    '--add-modules',
    'java.base',
    '--strip-java-debug-attributes',
    '--no-header-files',
    '--no-man-pages',
  ];
  await run(join(jdk, 'jlink'), [...settings, `--compress=${compress}`, '--output', image], { signal });
  // Licences of each module are links to those of java.base, and links have no place in an artifact.
  await rm(join(image, 'legal'), { recursive: true, force: true });
  const release = await readFile(join(image, 'release'), 'utf8');
  const values = {
    version: threePartVersion(/^JAVA_VERSION="([^"]+)"/m.exec(release)?.[1] ?? stdout.trim()),
    arch: process.arch,
    libc: libcName(),
  };
  const template = await readFile(join(HERE, 'jvm/leonore.template.yaml'), 'utf8');
  const manifest = template
    .replace(/^#.*\n/, '')
    .replaceAll(/__(version|arch|libc)__/g, (_all, key: keyof typeof values) => values[key]);
  await writeFile(join(target, 'leonore.yaml'), manifest);
  await cp(join(HERE, 'jvm/control'), join(target, 'control'), { recursive: true });
  for (const script of await readdir(join(target, 'control'))) await chmod(join(target, 'control', script), 0o755);
  return target;
}

/** `21` and `17.0.15.1` as semver has it. */
function threePartVersion(text: string): string {
  const parts = text
    .split(/[^0-9]+/)
    .filter(Boolean)
    .slice(0, 3);
  return [...parts, '0', '0'].slice(0, 3).map(Number).join('.');
}

function libcName(): 'glibc' | 'musl' {
  // Else it asks the network for the names of all its addresses.
  Object.assign(process.report, { excludeNetwork: true });
  const report = process.report.getReport() as { header?: { glibcVersionRuntime?: string } };
  return report.header?.glibcVersionRuntime ? 'glibc' : 'musl';
}

async function buildJavaMeter(outDir: string, jdk: string, signal: AbortSignal | undefined): Promise<string> {
  const target = await buildStatic(outDir, 'java-meter');
  const classes = join(target, 'binary/classes');
  await mkdir(classes, { recursive: true });
  // Class files and no jar: a jar carries the time it was made, and the same source shall give the same bytes.
  await run(join(jdk, 'javac'), ['--release', '11', '-d', classes, join(HERE, 'java-meter/src/Meter.java')], {
    signal,
  });
  return target;
}

function lastLine(error: unknown): string {
  const { stderr, stdout, message } = error as { stderr?: string; stdout?: string; message?: string };
  return (stderr || stdout || message || String(error)).trim().split('\n').at(-1) ?? '';
}

if (import.meta.main) {
  const outDir = resolve(process.argv[2] ?? join(HERE, 'build'));
  const { dirs, skipped } = await buildExamples(outDir);
  for (const dir of dirs) console.log(dir);
  for (const { name, reason } of skipped) console.error(`${name} is left out: ${reason}`);
}
