/** `leonore node`: one LEONORE node in this process, until it is told to stop. */
import { rename, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { bytesSchema, LeonoreError } from '@leonore/protocol';
import { type Command, Option } from 'commander';
import type { App } from '../app.ts';
import { agentFiles } from './agent-files.ts';
import { createPaint } from '../output/paint.ts';
import { parseDuration } from '../output/quantities.ts';
import { type Address, parseAddress } from './address.ts';
import { addGatewayOptions, type GatewayFlags, gatewayOptionsOf } from './node-gateways.ts';
import { collectValues } from './words.ts';

const LOG_LEVELS = ['silent', 'fatal', 'error', 'warn', 'info', 'debug', 'trace'] as const;

interface Flags extends GatewayFlags {
  readonly data: string;
  readonly http: string;
  readonly mqtt: string;
  readonly coapPort?: string;
  readonly logLevel: (typeof LOG_LEVELS)[number];
  readonly databaseUrl?: string;
  readonly publicUrl?: string;
  readonly publicMqttUrl?: string;
  readonly publicCoapUrl?: string;
  readonly maxArtifactSize: string;
  readonly maxArtifactFiles: string;
  readonly storeQuota?: string;
  readonly keepFree: string;
  readonly deltaBudget: string;
  readonly swuKey?: string;
  readonly swuCert?: string;
  readonly swuRoot?: string;
  readonly swuHardware: readonly string[];
  readonly poll?: string;
  readonly output: 'table' | 'json';
}

/** What `-o json` writes on stdout, and what is in DATA/node.json, and what a parent process with a channel is sent, once the node answers. */
export interface NodeReady {
  readonly pid: number;
  readonly httpUrl: string;
  readonly mqttUrl?: string | undefined;
  readonly coapUrl?: string | undefined;
  readonly adminTokenFile: string;
}

export function registerNode(parent: Command, app: App): void {
  const command = parent
    .command('node')
    .description(
      'Run a LEONORE node: repository, API and contact point for gateways in one process, its data in one folder.',
    )
    .addOption(new Option('--data <dir>', 'where its data is kept').env('LEONORE_DATA').default('./leonore-data'))
    .addOption(new Option('--http <host:port>', 'where it serves HTTP').env('LEONORE_HTTP').default('127.0.0.1:8080'))
    .addOption(
      new Option('--mqtt <host:port>', 'where it serves MQTT for push; "off" for none')
        .env('LEONORE_MQTT')
        .default('127.0.0.1:1883'),
    )
    .addOption(
      new Option(
        '--coap-port <[host:]port>',
        'where it serves CoAP, such as 5683; none without (host: that of --http)',
      ).env('LEONORE_COAP_PORT'),
    )
    .addOption(
      new Option('--log-level <level>', 'what to log').choices(LOG_LEVELS).env('LEONORE_LOG_LEVEL').default('info'),
    )
    .addOption(
      new Option('--database-url <url>', 'postgres://... instead of SQLite in the data folder').env(
        'LEONORE_DATABASE_URL',
      ),
    )
    .option('--public-url <url>', 'what gateways are told to reach it by, when that is not --http')
    .option('--public-mqtt-url <url>', 'the same for push, such as mqtts://node.example:8883, when that is not --mqtt')
    .option('--public-coap-url <url>', 'the same for CoAP, such as coap://node.example:5683')
    .addOption(
      new Option('--tenant <name>', 'a tenant it serves beside "default", apart from it; may be given again')
        .env('LEONORE_TENANT')
        .argParser(collectValues)
        .default([], 'none'),
    )
    .addOption(
      new Option('--max-artifact-size <bytes>', 'largest artifact it takes, packed and unpacked, such as 2GiB')
        .env('LEONORE_MAX_ARTIFACT_SIZE')
        .default('1GiB'),
    )
    .addOption(
      new Option('--max-artifact-files <n>', 'most files of an artifact')
        .env('LEONORE_MAX_ARTIFACT_FILES')
        .default('10000'),
    )
    .addOption(
      new Option('--store-quota <bytes>', 'most that segments, deltas and uploads may take; no limit without').env(
        'LEONORE_STORE_QUOTA',
      ),
    )
    .addOption(
      new Option('--keep-free <bytes>', 'how much of the disk stays free').env('LEONORE_KEEP_FREE').default('500MiB'),
    )
    .addOption(
      new Option('--delta-budget <bytes>', 'disk for deltas between builds, such as 500MiB; 0 for none')
        .env('LEONORE_DELTA_BUDGET')
        .default('2GiB'),
    )
    .addOption(
      new Option('--swu-key <file>', 'key that images for SWUpdate are signed with, as PEM').env('LEONORE_SWU_KEY'),
    )
    .addOption(
      new Option('--swu-cert <file>', "that key's certificate, as PEM; gateways check with it").env('LEONORE_SWU_CERT'),
    )
    .addOption(
      new Option(
        '--swu-root <dir>',
        'where gateways with SWUpdate keep what LEONORE brings (default: /var/lib/leonore)',
      ).env('LEONORE_SWU_ROOT'),
    )
    .addOption(
      new Option('--swu-hardware <revision>', 'a hardware revision these images are for; may be given again')
        .env('LEONORE_SWU_HARDWARE')
        .argParser(collectValues)
        .default([], 'any'),
    )
    .option('--poll <duration>', 'how often gateways shall poll that do not say so themselves', '5m');
  addGatewayOptions(command)
    .addOption(
      new Option('-o, --output <format>', 'how to say that it is ready').choices(['table', 'json']).default('table'),
    )
    .addHelpText(
      'after',
      `
Examples:
  $ leonore node
  $ leonore node --data /var/lib/leonore --http 0.0.0.0:8080 --mqtt 0.0.0.0:1883
  $ leonore login http://127.0.0.1:8080 < leonore-data/admin-token

The admin token is made at the first start, in DATA/admin-token; that of another tenant in DATA/tenants/NAME/admin-token. Port 0 takes any free one. Ctrl-C or SIGTERM ends it gracefully.`,
    )
    .action((flags: Flags) => runNode(flags, app));
}

async function runNode(flags: Flags, { terminal }: App): Promise<void> {
  const http = parseAddress('--http', flags.http);
  const mqtt = flags.mqtt === 'off' ? undefined : parseAddress('--mqtt', flags.mqtt);
  const dataDir = resolve(terminal.cwd, flags.data);
  const { startNode } = await import('@leonore/framework');
  const options = {
    dataDir,
    http,
    logLevel: flags.logLevel,
    ...(mqtt ? { mqtt } : {}),
    ...(flags.coapPort === undefined ? {} : { coap: coapAddress(flags.coapPort, http.host) }),
    ...(flags.databaseUrl ? { databaseUrl: flags.databaseUrl } : {}),
    ...(flags.publicUrl ? { publicUrl: flags.publicUrl } : {}),
    ...(flags.publicMqttUrl ? { publicMqttUrl: checkMqttUrl(flags.publicMqttUrl) } : {}),
    ...(flags.publicCoapUrl ? { publicCoapUrl: checkCoapUrl(flags.publicCoapUrl) } : {}),
    tenants: flags.tenant,
    ...gatewayOptionsOf(flags),
    agentFiles: agentFiles(),
    limits: {
      maxArtifactSize: parseSize('--max-artifact-size', flags.maxArtifactSize),
      maxArtifactFiles: parseFiles(flags.maxArtifactFiles),
    },
    ...(flags.storeQuota ? { storeQuota: parseSize('--store-quota', flags.storeQuota) } : {}),
    keepFree: parseSize('--keep-free', flags.keepFree),
    deltaBudget: parseSize('--delta-budget', flags.deltaBudget),
    swupdate: {
      ...(flags.swuKey === undefined ? {} : { keyFile: resolve(terminal.cwd, flags.swuKey) }),
      ...(flags.swuCert === undefined ? {} : { certFile: resolve(terminal.cwd, flags.swuCert) }),
      ...(flags.swuRoot === undefined ? {} : { root: flags.swuRoot }),
      ...(flags.swuHardware.length === 0 ? {} : { hardware: flags.swuHardware }),
    },
    ...(flags.poll ? { pollIntervalSeconds: Math.max(1, Math.round(parseDuration(flags.poll) / 1000)) } : {}),
  };
  await using node = await startNode(options).catch((error: unknown) => {
    throw explainStart(error, flags);
  });
  const ready: NodeReady = {
    pid: process.pid,
    httpUrl: node.httpUrl,
    mqttUrl: node.mqttUrl,
    ...(node.coapUrl === undefined ? {} : { coapUrl: node.coapUrl }),
    adminTokenFile: node.adminTokenFile,
  };
  await using _file = await publishReady(dataDir, ready);
  announce(ready, flags, terminal);
  process.send?.(ready);
  await untilAborted(terminal.signal);
  terminal.err('stopping: what is under way ends first; Ctrl-C again ends it at once');
}

/** `node.json` in its folder says where a running node is, for scripts that let it choose its ports. */
async function publishReady(dataDir: string, ready: NodeReady): Promise<AsyncDisposable> {
  const file = join(dataDir, 'node.json');
  await writeFile(`${file}.new`, `${JSON.stringify(ready)}\n`);
  await rename(`${file}.new`, file);
  return { [Symbol.asyncDispose]: () => rm(file, { force: true }) };
}

function parseSize(flag: string, text: string): number {
  const parsed = bytesSchema.safeParse(/^\d+$/.test(text) ? Number(text) : text);
  if (parsed.success) return parsed.data;
  throw new LeonoreError('cli.usage', `${flag}: ${parsed.error.issues[0]?.message}`);
}

function parseFiles(text: string): number {
  const files = Number(text);
  if (Number.isSafeInteger(files) && files > 0) return files;
  throw new LeonoreError('cli.usage', `--max-artifact-files: "${text}" is no number of files; write it like 10000`);
}

function announce(ready: NodeReady, flags: Flags, terminal: App['terminal']): void {
  if (flags.output === 'json') {
    terminal.out(JSON.stringify(ready));
    return;
  }
  const paint = createPaint(terminal.errColour);
  terminal.err(
    `LEONORE node at ${paint.address(ready.httpUrl)}${ready.mqttUrl ? `, push at ${paint.address(ready.mqttUrl)}` : ', without push'}${ready.coapUrl ? `, CoAP at ${paint.address(ready.coapUrl)}` : ''}`,
  );
  terminal.err(`  API reference  ${ready.httpUrl}/api/docs`);
  terminal.err(`  admin token    ${ready.adminTokenFile}`);
  terminal.err(`  add gateways   leonore gateway token create   says the line to run on a machine`);
  terminal.err(`  log in with    leonore login ${ready.httpUrl} < ${ready.adminTokenFile}`);
}

function explainStart(error: unknown, flags: Flags): unknown {
  const { code, port } = error as { code?: string; port?: number };
  if (code === 'EADDRINUSE') {
    const isUdp = (error as { syscall?: string }).syscall === 'bind';
    const which = isUdp ? '--coap-port' : port !== undefined && flags.mqtt.endsWith(`:${port}`) ? '--mqtt' : '--http';
    return new LeonoreError(
      'config.invalid',
      `port ${port ?? ''} is taken; another node may be running here, or choose another port with ${which}`,
      {
        cause: error,
      },
    );
  }
  if (code === 'EACCES' || code === 'EROFS') {
    return new LeonoreError(
      'config.invalid',
      `${(error as Error).message}; choose another folder with --data or another port`,
      { cause: error },
    );
  }
  return error;
}

export function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    if (signal.aborted) done();
    else signal.addEventListener('abort', () => done(), { once: true });
  });
}

function checkMqttUrl(text: string): string {
  const { protocol, hostname } = URL.parse(text) ?? {};
  if (hostname && (protocol === 'mqtt:' || protocol === 'mqtts:')) return text.replace(/\/+$/, '');
  throw new LeonoreError('cli.usage', `--public-mqtt-url "${text}" is none; it reads like mqtts://node.example:8883`);
}

/** A port alone is one of the interface that HTTP is served on. */
function coapAddress(text: string, host: string): Address {
  const address = parseAddress('--coap-port', text);
  return text.includes(':') ? address : { ...address, host };
}

function checkCoapUrl(text: string): string {
  const { protocol, hostname } = URL.parse(text) ?? {};
  if (hostname && protocol === 'coap:') return text.replace(/\/+$/, '');
  throw new LeonoreError('cli.usage', `--public-coap-url "${text}" is none; it reads like coap://node.example:5683`);
}
