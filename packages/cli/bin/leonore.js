#!/usr/bin/env node
/**
 * The gate before the command line: plain JavaScript that any Node can read, since a Node before 24 cannot load what
 * lies behind it and would say so in its own words.
 */
const major = Number(process.versions.node.split('.')[0]);
if (major >= 24) {
  await import('./leonore.ts');
} else {
  process.stderr.write(
    `error: leonore needs Node.js 24 or newer, and this is ${process.versions.node}\n` +
      'hint: run it as "npx leonore" in the project after "npm ci", which brings a Node.js 24 along\n',
  );
  process.exitCode = 1;
}
