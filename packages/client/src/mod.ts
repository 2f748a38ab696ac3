/**
 * The typed HTTP client of a LEONORE node, written over the same zod schemas that make its OpenAPI document.
 * Used by the command line, the console and the evaluation. Runs wherever `fetch` does; only `uploadFile` needs Node.
 */

export type { Client, ClientOptions } from './client.ts';
export { createClient } from './client.ts';
export type { EventOptions } from './events.ts';
export type { CallOptions } from './http.ts';
export { collect, iteratePages } from './pages.ts';
export type { SseMessage, SseParser } from './sse.ts';
export { createSseParser, parseSse } from './sse.ts';
export type { UploadOptions, UploadProgress, UploadSource } from './upload.ts';
