/** DDI's configData: attributes that gateways of other makers say of themselves. Pure. */
import { LeonoreError, type DdiConfigData } from '@leonore/protocol';

const MAX_LENGTH = 128;
const PRINTABLE = /^[\x20-\x7e]*$/;

/** @throws request.invalid */
export function changedAttributes(
  now: Readonly<Record<string, string>>,
  { mode, data }: DdiConfigData,
): Record<string, string> {
  const result = new Map(mode === 'replace' ? [] : Object.entries(now));
  for (const [key, value] of Object.entries(data)) {
    checkAttribute(key, value);
    if (mode === 'remove' || value === null) result.delete(key);
    else result.set(key, value);
  }
  return Object.fromEntries(result);
}

function checkAttribute(key: string, value: string | null): void {
  if (key.length === 0 || key.length > MAX_LENGTH || !PRINTABLE.test(key))
    throw new LeonoreError('request.invalid', `an attribute key is 1 to ${MAX_LENGTH} printable ASCII characters`);
  if (value !== null && (value.length > MAX_LENGTH || !PRINTABLE.test(value)))
    throw new LeonoreError(
      'request.invalid',
      `the value of attribute ${key} is not at most ${MAX_LENGTH} printable ASCII characters`,
    );
}
