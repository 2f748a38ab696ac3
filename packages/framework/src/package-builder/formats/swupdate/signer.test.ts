import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { isLeonoreError } from '@leonore/protocol';
import { loadSwuSigner } from './signer.ts';

const missing = spawnSync('openssl', ['version'], { stdio: 'ignore' }).error !== undefined;
const skip = missing ? 'openssl is not installed; on Debian: apt-get install openssl' : false;

describe('a key for SWUpdate', { skip }, () => {
  let dir: string;
  const at = (name: string) => join(dir, name);
  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'leonore-signer-'));
  });
  after(() => rm(dir, { recursive: true }));

  function openssl(...args: string[]): string {
    const { status, stdout, stderr } = spawnSync('openssl', args, { cwd: dir, encoding: 'utf8' });
    assert.equal(status, 0, `openssl ${args.join(' ')}: ${stderr}`);
    return stdout + stderr;
  }
  const RSA = ['-newkey', 'rsa:2048'];
  const P256 = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'];
  function selfSigned(name: string, key: readonly string[], ...more: string[]): { key: string; cert: string } {
    const files = { key: at(`${name}.key`), cert: at(`${name}.crt`) };
    openssl(
      'req',
      '-x509',
      ...key,
      '-nodes',
      '-keyout',
      files.key,
      '-out',
      files.cert,
      '-days',
      '30',
      '-subj',
      `/CN=${name}`,
      ...more,
    );
    return files;
  }
  const load = (files: { key: string; cert: string }, now = Date.now()) => loadSwuSigner(files, () => now);
  async function refused(files: { key: string; cert: string }, words: RegExp, now?: number): Promise<void> {
    await assert.rejects(load(files, now), (error: unknown) => {
      assert.ok(isLeonoreError(error, 'config.invalid'), String(error));
      assert.match(error.message, words);
      return true;
    });
  }
  /** Verifies as SWUpdate does, with OpenSSL. */
  async function verify(signature: Buffer, content: string, trusted: string): Promise<boolean> {
    await writeFile(at('sig'), signature);
    await writeFile(at('content'), content);
    const args = [
      'cms',
      '-verify',
      '-binary',
      '-inform',
      'DER',
      '-in',
      'sig',
      '-content',
      'content',
      '-CAfile',
      trusted,
    ];
    return spawnSync('openssl', args, { cwd: dir, stdio: 'ignore' }).status === 0;
  }

  for (const [kind, args] of [
    ['RSA', RSA],
    ['EC P-256', P256],
  ] as const) {
    it(`of the kind ${kind} makes signatures that OpenSSL verifies, for this content only`, async () => {
      const files = selfSigned(kind.replace(' ', ''), args);
      const signer = await load(files);
      const signature = signer.sign(Buffer.from('software = {};'));
      assert.equal(await verify(signature, 'software = {};', files.cert), true);
      assert.equal(await verify(signature, 'software = { };', files.cert), false);
      assert.equal(await verify(signature, 'software = {};', selfSigned('other', RSA).cert), false);
      assert.match(
        openssl('x509', '-in', files.cert, '-noout', '-fingerprint', '-sha256').replaceAll(':', '').toLowerCase(),
        new RegExp(signer.fingerprint),
      );
    });
  }

  it('of an authority: the certificates between come along, byte for byte', async () => {
    const ca = selfSigned('ca', RSA);
    const issue = (name: string, by: string, extensions: string) => {
      openssl(
        'req',
        ...P256,
        '-nodes',
        '-keyout',
        `${name}.key`,
        '-out',
        `${name}.csr`,
        '-subj',
        `/C=AT/O=Größe & Co/OU=${name}/CN=${name}`,
        '-utf8',
      );
      spawnSync('sh', ['-c', `printf '%s\\n' '${extensions}' > ${name}.ext`], { cwd: dir });
      openssl(
        'x509',
        '-req',
        '-in',
        `${name}.csr`,
        '-CA',
        `${by}.crt`,
        '-CAkey',
        `${by}.key`,
        '-CAcreateserial',
        '-days',
        '20',
        '-extfile',
        `${name}.ext`,
        '-out',
        `${name}.crt`,
      );
    };
    issue('between', 'ca', 'basicConstraints=critical,CA:TRUE,pathlen:0');
    issue(
      'leaf',
      'between',
      'extendedKeyUsage=emailProtection\nkeyUsage=critical,digitalSignature\nsubjectAltName=email:a@b.c',
    );
    const chain = (await readFile(at('leaf.crt'), 'utf8')) + (await readFile(at('between.crt'), 'utf8'));
    await writeFile(at('chain.crt'), chain);
    const signer = await load({ key: at('leaf.key'), cert: at('chain.crt') });
    assert.equal(await verify(signer.sign(Buffer.from('x')), 'x', ca.cert), true);
  });

  it('that does not fit is refused, naming the file and what to do', async () => {
    const good = selfSigned('good', RSA);
    const other = selfSigned('second', RSA);
    await refused({ key: at('none.key'), cert: good.cert }, /none\.key is not there; it must be the key/);
    await refused({ key: good.key, cert: at('none.crt') }, /none\.crt is not there; it must be the certificate/);
    await refused(
      { key: other.key, cert: good.cert },
      /second\.key is not the key of the certificate in .*good\.crt \(CN=good\)/,
    );
    await refused(
      { key: good.cert, cert: good.cert },
      /good\.crt holds no private key but certificate; the two files may be mixed up/,
    );
    await refused({ key: good.key, cert: good.key }, /good\.key holds a private key, no certificate/);
    openssl('pkey', '-in', good.key, '-aes128', '-passout', 'pass:x', '-out', 'locked.key');
    await refused({ key: at('locked.key'), cert: good.cert }, /locked\.key is encrypted.*openssl pkey -in/);
    openssl('pkey', '-in', good.key, '-outform', 'DER', '-out', 'der.key');
    await refused({ key: at('der.key'), cert: good.cert }, /der\.key is no key in PEM; convert it/);
    openssl('x509', '-in', good.cert, '-outform', 'DER', '-out', 'der.crt');
    await refused({ key: good.key, cert: at('der.crt') }, /der\.crt is no certificate in PEM/);
    await writeFile(at('torn.key'), (await readFile(good.key, 'utf8')).replace(/\n[^\n]+\n/, '\n'));
    await refused({ key: at('torn.key'), cert: good.cert }, /torn\.key is damaged/);
  });

  it('of a kind that SWUpdate does not take is refused', async () => {
    const good = selfSigned('fine', RSA);
    const write = async (name: string, pair: { privateKey: { export(options: object): string | Buffer } }) => {
      await writeFile(at(name), pair.privateKey.export({ format: 'pem', type: 'pkcs8' }));
      return { key: at(name), cert: good.cert };
    };
    await refused(
      await write('ed.key', generateKeyPairSync('ed25519')),
      /ed\.key is of the kind ed25519; .* RSA of at least 2048 bits or EC P-256/,
    );
    await refused(
      await write('small.key', generateKeyPairSync('rsa', { modulusLength: 1024 })),
      /of the kind rsa with 1024 bits/,
    );
    await refused(
      await write('p384.key', generateKeyPairSync('ec', { namedCurve: 'secp384r1' })),
      /of the kind ec secp384r1/,
    );
  });

  it('whose certificate has ended, has not begun or is for something else is refused', async () => {
    const good = selfSigned('timed', RSA);
    const day = 86_400_000;
    await refused(good, /timed\.crt ended on .*renew it/, Date.now() + 31 * day);
    await refused(good, /timed\.crt is not good before .*clock/, Date.now() - day);
    const web = selfSigned('web', RSA, '-addext', 'extendedKeyUsage=serverAuth');
    await refused(web, /web\.crt is bound to other purposes \(1\.3\.6\.1\.5\.5\.7\.3\.1\)/);
    await load(selfSigned('mail', RSA, '-addext', 'extendedKeyUsage=emailProtection'));
  });
});
