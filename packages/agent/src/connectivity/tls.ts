/** Whom the gateway trusts beside the authorities that Node knows, who it says it is, and what is wrong when that fails. */
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type nodeTls from 'node:tls';
import type { SecureContext } from 'node:tls';
import { LeonoreError } from '@leonore/protocol';

/** As node:tls takes it: one for all connections, as it is dear to make. Empty: what Node has, NODE_EXTRA_CA_CERTS included. */
export interface TlsMaterial {
  readonly secureContext?: SecureContext;
}

export interface TlsFiles {
  /** PEM of the authorities that are trusted too. */
  readonly ca?: string | undefined;
  /** PEM of the gateway's own certificate and its key, where the server asks for one. */
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}

/** @throws LeonoreError `config.invalid`, with the file and what is wrong with it. */
export async function readTls(files: TlsFiles): Promise<TlsMaterial> {
  if ((files.cert === undefined) !== (files.key === undefined)) {
    throw new LeonoreError(
      'config.invalid',
      'a certificate of the gateway needs its key and the other way round: give both --cert and --key',
    );
  }
  const [ca, cert, key] = await Promise.all([readPem(files.ca), readPem(files.cert), readPem(files.key)]);
  const own = ca === undefined ? [] : certificates(ca, files.ca ?? '');
  if (ca === undefined && cert === undefined) return {};
  // TLS takes memory that a gateway without it can keep.
  const { default: tls } = await import('node:tls');
  // Given any authority, Node would trust no other.
  const trusted = ca === undefined ? {} : { ca: [...knownAuthorities(tls), ...own] };
  try {
    return { secureContext: tls.createSecureContext({ ...trusted, ...(cert === undefined ? {} : { cert, key }) }) };
  } catch (error) {
    throw new LeonoreError(
      'config.invalid',
      `${files.cert} and ${files.key} are no certificate and its key in PEM form`,
      {
        cause: error,
      },
    );
  }
}

/** Node before 22.15 cannot tell those of NODE_EXTRA_CA_CERTS. */
function knownAuthorities(tls: typeof nodeTls): readonly string[] {
  const { getCACertificates, rootCertificates }: Partial<typeof tls> = tls;
  return getCACertificates?.('default') ?? rootCertificates ?? [];
}

async function readPem(file: string | undefined): Promise<string | undefined> {
  if (file === undefined) return undefined;
  return readFile(file, 'utf8').catch((error: unknown) => {
    throw new LeonoreError('config.invalid', `${file} cannot be read`, { cause: error });
  });
}

function certificates(text: string, file: string): string[] {
  const found = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  try {
    if (found.length === 0) throw new Error('it holds no certificate');
    return found.map((one) => new X509Certificate(one).toString());
  } catch (error) {
    throw new LeonoreError('config.invalid', `${file} is no list of certificates in PEM form`, { cause: error });
  }
}

const UNKNOWN_AUTHORITY = [
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'CERT_SIGNATURE_FAILURE',
];

/** What is wrong with the certificate of `address`, and what to do; undefined when `error` is about something else. */
export function trustFault(error: unknown, address: string): string | undefined {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const why = trustFaultOf(code, error);
  return why === undefined ? undefined : `cannot trust ${address}: ${why}`;
}

function trustFaultOf(code: string, error: unknown): string | undefined {
  if (UNKNOWN_AUTHORITY.includes(code)) {
    return `its certificate comes from an authority that this gateway does not know (${code}); give the authority's certificate with --ca FILE. If it should be known, somebody else may be answering`;
  }
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return `its certificate is for another name (${error instanceof Error ? error.message : code}); use the name that it is for as address, or give the server a certificate for this one`;
  }
  if (code === 'CERT_HAS_EXPIRED' || code === 'CERT_NOT_YET_VALID') {
    const when = code === 'CERT_HAS_EXPIRED' ? 'has expired' : 'is not valid yet';
    return `its certificate ${when} by the clock of this gateway, which says ${new Date().toISOString()}; set the clock, or renew the certificate`;
  }
  if (code === 'CERT_REVOKED' || code === 'CERT_UNTRUSTED' || code === 'CERT_REJECTED')
    return `its certificate is refused (${code})`;
  // Which of the two forms it has depends on when the other side closes.
  const words = code.startsWith('ERR_SSL_') ? code : code === 'EPROTO' && error instanceof Error ? error.message : '';
  if (/wrong.version.number|packet.length.too.long|http.request/i.test(words)) {
    return 'it does not speak TLS there; give its address without TLS (http://, mqtt://), or the port that has it';
  }
  if (/alert|certificate.required/i.test(words)) {
    return 'it refused the TLS handshake; where it asks for a certificate of the gateway give --cert and --key';
  }
  return undefined;
}
