/** What every command is given: the terminal, a client for the node it shall talk to, and a place for its exit code. */
import type { Client } from '@leonore/client';
import type { Command } from 'commander';
import type { ConnectionFlags } from './settings/connection.ts';
import type { Terminal } from './terminal.ts';

export interface App {
  readonly terminal: Terminal;
  connect(flags: ConnectionFlags): Promise<Client>;
  /** For a command that did its work and found a failure: the code to end with. */
  exitCode: number;
}

/** What a file in `commands/` exports: adds its command, with options and help, below the given one. */
export type Register = (parent: Command, app: App) => void;
