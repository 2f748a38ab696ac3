/** For tests: programs of other makers that packages must work with. */
import { spawnSync } from 'node:child_process';

/** False when `command` can be called, else why the test is skipped and how to get it. */
export function skipWithout(
  command: string,
  debianPackage: string,
  args: readonly string[] = ['--help'],
): false | string {
  const { error } = spawnSync(command, args, { stdio: 'ignore' });
  return error ? `${command} is not installed; on Debian: apt-get install ${debianPackage}` : false;
}

/** Runs it, throws what it said when it fails. */
export function run(command: string, args: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    encoding: 'utf8',
    env: { ...process.env, LC_ALL: 'C.UTF-8' },
  });
  if (error) throw error;
  if (status !== 0 || stderr !== '') throw new Error(`${command} ${args.join(' ')} ended with ${status}: ${stderr}`);
  return stdout;
}
