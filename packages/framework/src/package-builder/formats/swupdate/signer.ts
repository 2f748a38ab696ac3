/**
 * The key and the certificate that SWUpdate images are signed with: read at the start of the node, so that a key that
 * does not fit is found there and not on a gateway. Leaves to others: what is signed.
 */
import { createPrivateKey, sign, X509Certificate, type KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { LeonoreError } from '@leonore/protocol';
import { signedData } from './cms.ts';

export interface SwuSigner {
  /** SHA-256 of the certificate, hex: another certificate, another package. */
  readonly fingerprint: string;
  /** Milliseconds since 1970: no gateway takes what was signed with it afterwards. */
  readonly endsAt: number;
  /** The CMS signature of `content` (RFC 5652), detached, DER. */
  sign(content: Uint8Array): Buffer;
}

const PEM = /-----BEGIN ([A-Z0-9 ]+)-----[\s\S]*?-----END \1-----/g;
const MIN_RSA_BITS = 2048;
/** Purposes that a certificate may be bound to and that SWUpdate asks for: emailProtection, codeSigning, any. */
const FITTING_PURPOSES = ['1.3.6.1.5.5.7.3.4', '1.3.6.1.5.5.7.3.3', '2.5.29.37.0'];

/** @throws LeonoreError `config.invalid`, naming the file and what to do */
export async function loadSwuSigner(
  files: { readonly key: string; readonly cert: string },
  now: () => number,
): Promise<SwuSigner> {
  const key = readKey(files.key, await read(files.key, 'the key'));
  const [certificate, ...others] = readCertificates(files.cert, await read(files.cert, 'the certificate'));
  if (!certificate) throw new Error('readCertificates gives at least one');
  checkCertificate(files.cert, certificate, now());
  if (!certificate.checkPrivateKey(key)) {
    throw invalid(
      files.key,
      `is not the key of the certificate in ${files.cert} (${certificate.subject.replaceAll('\n', ', ')}); give the two that belong together`,
    );
  }
  return {
    fingerprint: certificate.fingerprint256.replaceAll(':', '').toLowerCase(),
    endsAt: certificate.validToDate.getTime(),
    sign: (content) =>
      signedData(content, {
        certificates: [certificate, ...others].map(({ raw }) => raw),
        algorithm: key.asymmetricKeyType === 'rsa' ? 'rsa' : 'ecdsa',
        sign: (bytes) => sign('sha256', bytes, key),
      }),
  };
}

async function read(file: string, what: string): Promise<string> {
  try {
    return await readFile(file, 'latin1');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const why = code === 'ENOENT' ? 'is not there' : `cannot be read (${message})`;
    throw invalid(file, `${why}; it must be ${what} that images for SWUpdate are signed with, as PEM`, error);
  }
}

function readKey(file: string, text: string): KeyObject {
  const labels = [...text.matchAll(PEM)].map((match) => match[1] ?? '');
  if (labels.length === 0) {
    throw invalid(file, 'is no key in PEM; convert it with: openssl pkey -inform DER -in FILE -out KEY.pem');
  }
  if (labels.includes('ENCRYPTED PRIVATE KEY') || text.includes('Proc-Type: 4,ENCRYPTED')) {
    throw invalid(
      file,
      `is encrypted, and a node has nobody to ask for the passphrase; write an open copy that only the node may read: openssl pkey -in ${file} -out KEY.pem`,
    );
  }
  if (!labels.some((label) => label.endsWith('PRIVATE KEY'))) {
    throw invalid(file, `holds no private key but ${labels.join(', ').toLowerCase()}; the two files may be mixed up`);
  }
  const key = parseKey(file, text);
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  const fits =
    type === 'rsa'
      ? (details?.modulusLength ?? 0) >= MIN_RSA_BITS
      : type === 'ec' && details?.namedCurve === 'prime256v1';
  if (fits) return key;
  const size =
    type === 'rsa' ? ` with ${details?.modulusLength} bits` : (details?.namedCurve ?? '') && ` ${details?.namedCurve}`;
  throw invalid(
    file,
    `is of the kind ${type}${size}; SWUpdate's images are signed with RSA of at least ${MIN_RSA_BITS} bits or EC P-256 (prime256v1)`,
  );
}

function parseKey(file: string, text: string): KeyObject {
  try {
    return createPrivateKey(text);
  } catch (error) {
    throw invalid(file, `is damaged: ${(error as Error).message}`, error);
  }
}

/** The signer's first; those after it lead to the authority. */
function readCertificates(file: string, text: string): readonly X509Certificate[] {
  const blocks = [...text.matchAll(PEM)].filter((match) => match[1] === 'CERTIFICATE');
  if (blocks.length === 0) {
    const why = text.includes('PRIVATE KEY-----')
      ? 'holds a private key, no certificate; the two files may be mixed up'
      : 'is no certificate in PEM';
    throw invalid(
      file,
      `${why}; make one with: openssl req -x509 -newkey rsa:2048 -nodes -keyout KEY.pem -out CERT.pem -days 3650 -subj /CN=swupdate`,
    );
  }
  try {
    return blocks.map(([pem]) => new X509Certificate(pem));
  } catch (error) {
    throw invalid(file, `is damaged: ${(error as Error).message}`, error);
  }
}

function checkCertificate(file: string, certificate: X509Certificate, now: number): void {
  const { validFromDate, validToDate, keyUsage } = certificate;
  if (now > validToDate.getTime()) {
    throw invalid(
      file,
      `ended on ${validToDate.toISOString()}; gateways would refuse what is signed with it, so renew it`,
    );
  }
  if (now < validFromDate.getTime()) {
    throw invalid(file, `is not good before ${validFromDate.toISOString()}; check this machine's clock, or wait`);
  }
  if (keyUsage !== undefined && !keyUsage.some((purpose) => FITTING_PURPOSES.includes(purpose))) {
    throw invalid(
      file,
      `is bound to other purposes (${keyUsage.join(', ')}); SWUpdate asks for emailProtection, or for codeSigning with --cert-purpose codeSigning`,
    );
  }
}

function invalid(file: string, why: string, cause?: unknown): LeonoreError {
  return new LeonoreError('config.invalid', `${file} ${why}`, { cause });
}
