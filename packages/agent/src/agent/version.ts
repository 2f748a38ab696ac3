export const AGENT_VERSION = '0.1.0';
/** When this version was made, milliseconds since 1970: no clock that counts says less. */
export const AGENT_MADE_AT: number = Date.UTC(2026, 10, 22);
