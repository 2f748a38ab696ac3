/** The user-facing API (/api/v1): translation only. What it may do and does is decided in the rooms behind it. */
export { createHttpServer, type HttpServer, type HttpServerDeps, type HttpServerOptions } from './http-server.ts';
