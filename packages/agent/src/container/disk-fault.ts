/** Faults of the disk, which what only reads and computes can do without: full, worn out, read-only. */

const CODES = new Set(['ENOSPC', 'EDQUOT', 'EROFS', 'EIO']);

export function isDiskFault(error: unknown): boolean {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && CODES.has(error.code);
}
