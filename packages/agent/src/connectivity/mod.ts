/** Connectivity: the protocols a gateway speaks, without a disk. */
export type { Channel, DownloadAnswer, DownloadRange, FeedbackOutcome, ServerAddresses } from './channel.ts';
export { type Connectivity, type ConnectivityOptions, createConnectivity } from './connectivity.ts';
export { type ContactLog, createContactLog } from './contact-log.ts';
export * from './download-package.ts';
export { type DownloadWindow, parseDownloadWindow } from './download-windows.ts';
export * from './feedback.ts';
export { answerError, isPassing, readJson, readText, retryAfterMs } from './http/answers.ts';
export * from './http/enrol.ts';
export {
  createHttpClient,
  type HttpAnswer,
  type HttpClient,
  type HttpClientOptions,
  type HttpRequest,
} from './http/http-client.ts';
export * from './http/http-connectivity.ts';
export { type ProxySettings, proxySettings } from './http/proxy.ts';
export { type DownloadLimits, limitDownloads } from './limited-downloads.ts';
export * from './logger.ts';
export * from './mqtt/mqtt-connectivity.ts';
export * from './parse-task.ts';
export { PROTOCOLS, protocolsNamed } from './protocols.ts';
export { readTls, type TlsFiles, type TlsMaterial } from './tls.ts';
export * from './wait.ts';
