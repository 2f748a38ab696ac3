/** Proxies and certificates, with real ones. */
import assert from 'node:assert/strict';
import { createServer as createHttpsServer } from 'node:https';
import { createServer, type IncomingMessage, request } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { after, before, test } from 'node:test';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isLeonoreError } from '@leonore/protocol';
import { type Authority, makeAuthority, NO_OPENSSL } from '../../test-support/certificates.ts';
import { startFakeServer } from '../../test-support/fake-server.ts';
import { temporaryFolder } from '../../test-support/temporary-folder.ts';
import { readTls, type TlsFiles } from '../tls.ts';
import { isPassing, readText } from './answers.ts';
import { createHttpClient, type HttpClientOptions } from './http-client.ts';
import { proxySettings } from './proxy.ts';

async function get(url: string, options: HttpClientOptions): Promise<string> {
  using client = createHttpClient(options);
  return readText(await client.send({ method: 'GET', url: new URL(url) }));
}

/** Passes on what it is asked for, in both forms, and keeps what that was. */
async function startProxy(allows: (host: string) => boolean = () => true) {
  const asked: string[] = [];
  const server = createServer((incoming, response) => {
    asked.push(`${incoming.method} ${incoming.url} ${incoming.headers['proxy-authorization'] ?? ''}`.trim());
    const onward = request(
      incoming.url ?? '',
      { method: incoming.method, headers: incoming.headers },
      (answer: IncomingMessage) => {
        response.writeHead(answer.statusCode ?? 0, answer.headers);
        answer.pipe(response);
      },
    );
    onward.on('error', () => response.writeHead(502).end());
    incoming.pipe(onward);
  });
  server.on('connect', (incoming, socket) => {
    asked.push(`CONNECT ${incoming.url}`);
    const [, port] = (incoming.url ?? '').split(':');
    if (!allows(incoming.url ?? '')) {
      socket.end('HTTP/1.1 403 Forbidden\r\n\r\n');
      return;
    }
    const onward = connect(Number(port), '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      onward.pipe(socket).pipe(onward);
    });
    onward.on('error', () => socket.destroy());
    socket.on('error', () => onward.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function startTlsServer(certificate: { cert: string; key: string }, more: object = {}) {
  const server = createHttpsServer({ cert: certificate.cert, key: certificate.key, ...more }, (_, response) =>
    response.end('hello'),
  );
  server.on('tlsClientError', () => undefined);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

void test('http through a proxy in absolute-form, with its credentials; NO_PROXY and this machine straight', async () => {
  await using server = await startFakeServer();
  await using proxy = await startProxy();
  const url = `${server.url}/x`;
  const explicit = proxySettings(proxy.url.replace('//', '//me:secret@'), {});
  await get(url, { proxy: explicit });
  assert.deepEqual(proxy.asked, [`GET ${url} Basic ${Buffer.from('me:secret').toString('base64')}`]);
  await get(url, { proxy: proxySettings(proxy.url, { NO_PROXY: '127.0.0.1' }) });
  await get(url, { proxy: proxySettings(undefined, { HTTP_PROXY: proxy.url }) });
  await get(url, { proxy: proxySettings('off', { HTTP_PROXY: proxy.url }) });
  assert.equal(proxy.asked.length, 1);
  assert.equal(server.requests.length, 4);
  // A name that only the proxy would know.
  await get('http://node.invalid/x', { proxy: proxySettings(undefined, { http_proxy: `${proxy.url}/` }) });
  assert.deepEqual(proxy.asked.slice(1), ['GET http://node.invalid/x']);
});

void test('what is no address of a proxy is said, without its password', () => {
  assert.equal(proxySettings(undefined, { NO_PROXY: 'x' }), undefined);
  assert.throws(
    () => proxySettings('socks5://me:secret@proxy:1080', {}),
    (error: unknown) => isLeonoreError(error, 'config.invalid') && !error.message.includes('secret'),
  );
});

void test('certificates', { skip: NO_OPENSSL }, async (t) => {
  const folder = await temporaryFolder();
  after(() => folder[Symbol.asyncDispose]());
  let authority: Authority;
  let stranger: Authority;
  before(() => {
    authority = makeAuthority(folder.path, 'site-ca');
    stranger = makeAuthority(folder.path, 'other-ca');
  });
  const rejection = (url: string, options: HttpClientOptions): Promise<string> =>
    get(url, options).then(
      () => 'it was trusted',
      (error: unknown) => {
        assert.ok(isPassing(error), 'the server may be put right');
        return String(error);
      },
    );

  await t.test('the own authority is trusted with --ca, beside those that Node knows', async () => {
    await using server = await startTlsServer(authority.issue('node', 'IP:127.0.0.1,DNS:localhost'));
    const url = `https://127.0.0.1:${server.port}/`;
    const tls = await readTls({ ca: authority.file });
    assert.equal(await get(url, { tls }), 'hello');
    assert.match(await rejection(url, {}), /cannot trust https:.*authority that this gateway does not know.*--ca/);
    assert.match(await rejection(url, { tls: await readTls({ ca: stranger.file }) }), /does not know.*--ca/);
    const known = getCACertificates('default');
    setDefaultCACertificates([...known, await readFile(stranger.file, 'utf8')]);
    const tlsToo = await readTls({ ca: authority.file });
    setDefaultCACertificates(known);
    await using foreign = await startTlsServer(stranger.issue('foreign', 'IP:127.0.0.1'));
    assert.equal(await get(`https://127.0.0.1:${foreign.port}/`, { tls: tlsToo }), 'hello');
  });

  await t.test('another name, an expired one, and no TLS at all: each named, with what to do', async () => {
    const tls = await readTls({ ca: authority.file });
    await using other = await startTlsServer(authority.issue('other', 'DNS:other.example'));
    assert.match(await rejection(`https://localhost:${other.port}/`, { tls }), /is for another name.*other\.example/);
    await using old = await startTlsServer(authority.issue('old', 'IP:127.0.0.1', { expired: true }));
    assert.match(
      await rejection(`https://127.0.0.1:${old.port}/`, { tls }),
      /has expired by the clock of this gateway/,
    );
    await using plain = await startFakeServer();
    assert.match(await rejection(plain.url.replace('http:', 'https:'), { tls }), /does not speak TLS/);
  });

  await t.test('https through a proxy is a tunnel; one that lets nothing through is named', async () => {
    await using server = await startTlsServer(authority.issue('tunnelled', 'IP:127.0.0.1'));
    await using proxy = await startProxy((host) => host.endsWith(`:${server.port}`));
    const tls = await readTls({ ca: authority.file });
    const url = `https://127.0.0.1:${server.port}/`;
    assert.equal(await get(url, { tls, proxy: proxySettings(proxy.url, {}) }), 'hello');
    assert.deepEqual(proxy.asked, [`CONNECT 127.0.0.1:${server.port}`]);
    const refused = await rejection('https://127.0.0.1:9/', { tls, proxy: proxySettings(proxy.url, {}) });
    assert.match(refused, /the proxy lets nothing through to it; look at --proxy/);
  });

  await t.test('a certificate of the gateway where the server asks for one', async () => {
    const own = authority.issue('gw-1', 'DNS:gw-1');
    const options = { requestCert: true, rejectUnauthorized: true, ca: await readFile(authority.file) };
    await using server = await startTlsServer(authority.issue('asking', 'IP:127.0.0.1'), options);
    const url = `https://127.0.0.1:${server.port}/`;
    const files = { ca: authority.file, cert: own.certFile, key: own.keyFile };
    assert.equal(await get(url, { tls: await readTls(files) }), 'hello');
    assert.match(await rejection(url, { tls: await readTls({ ca: authority.file }) }), /--cert and --key/);
  });

  await t.test('files that are no certificates are refused at the start', async () => {
    const nonsense = join(folder.path, 'nonsense.pem');
    await writeFile(nonsense, '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n');
    const own = authority.issue('mine', 'DNS:mine');
    const wrong: [TlsFiles, RegExp][] = [
      [{ ca: join(folder.path, 'nothing.pem') }, /cannot be read/],
      [{ ca: nonsense }, /no list of certificates/],
      [{ ca: own.keyFile }, /no list of certificates/],
      [{ cert: own.certFile }, /both --cert and --key/],
      [{ cert: own.certFile, key: nonsense }, /no certificate and its key/],
    ];
    for (const [files, words] of wrong) {
      await assert.rejects(
        readTls(files),
        (error: unknown) => isLeonoreError(error, 'config.invalid') && words.test(error.message),
      );
    }
  });
});
