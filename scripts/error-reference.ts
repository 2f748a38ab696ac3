/** Writes docs/errors.md from the one table of errors. `npm run docs:errors`; a test says when it is out of date. */
import { writeFile } from 'node:fs/promises';
import { ERRORS } from '@leonore/protocol';

export const ERROR_REFERENCE = new URL('../docs/errors.md', import.meta.url);

export function errorReference(): string {
  const rows = Object.entries(ERRORS).map(
    ([code, { status, retryable, title }]) => `| \`${code}\` | ${status} | ${retryable ? 'yes' : 'no'} | ${title} |`,
  );
  return `# Errors

Every error has a stable \`code\`. Over HTTP it is problem+json (RFC 9457): \`detail\` says what is wrong and what to do,
\`details\` has facts for machines. *Again* says whether the same call may succeed later without a change.
This page is made from \`packages/protocol/src/errors.ts\` by \`npm run docs:errors\`.

| code | HTTP | again | meaning |
|---|---|---|---|
${rows.join('\n')}
`;
}

if (import.meta.main) await writeFile(ERROR_REFERENCE, errorReference());
