#!/usr/bin/env node
import { main } from '../src/main.ts';
import { processTerminal } from '../src/terminal.ts';

using terminal = processTerminal(process);
process.exitCode = await main(process.argv.slice(2), terminal);
