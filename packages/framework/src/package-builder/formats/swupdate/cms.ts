/**
 * A detached CMS signature (RFC 5652) as SWUpdate and `openssl cms -verify` take it: one signer, SHA-256, the signed
 * attributes content-type and message-digest, the certificates inside.
 */
import { createHash } from 'node:crypto';
import {
  Attribute,
  CertificateChoices,
  CertificateSet,
  CMSVersion,
  ContentInfo,
  DigestAlgorithmIdentifiers,
  EncapsulatedContentInfo,
  id_contentType,
  id_data,
  id_messageDigest,
  id_signedData,
  IssuerAndSerialNumber,
  SignedData,
  SignerIdentifier,
  SignerInfo,
  SignerInfos,
} from '@peculiar/asn1-cms';
import { AsnConvert, OctetString } from '@peculiar/asn1-schema';
import { AlgorithmIdentifier, Certificate } from '@peculiar/asn1-x509';

export interface CmsSigner {
  /** DER; the signer's first. */
  readonly certificates: readonly Uint8Array[];
  readonly algorithm: 'rsa' | 'ecdsa';
  /** Over SHA-256; RSA as PKCS #1 v1.5, ECDSA as DER. */
  sign(bytes: Uint8Array): Uint8Array;
}

const SHA256 = '2.16.840.1.101.3.4.2.1';
const RSA_ENCRYPTION = '1.2.840.113549.1.1.1';
const ECDSA_WITH_SHA256 = '1.2.840.10045.4.3.2';
const NULL = new Uint8Array([5, 0]).buffer;
const SET_OF = 0x31;

/** DER. */
export function signedData(content: Uint8Array, signer: CmsSigner): Buffer {
  const certificates = signer.certificates.map((der) => AsnConvert.parse(der, Certificate));
  const [own] = certificates;
  if (!own) throw new Error('a signature needs its certificate');
  const digest = createHash('sha256').update(content).digest();
  // In the order that DER asks of a SET OF: by their bytes, where the shorter one comes first.
  const signedAttrs = [
    attribute(id_contentType, objectIdentifier(id_data)),
    attribute(id_messageDigest, AsnConvert.serialize(new OctetString(digest))),
  ];
  const digestAlgorithm = new AlgorithmIdentifier({ algorithm: SHA256 });
  const signerInfo = new SignerInfo({
    version: CMSVersion.v1,
    sid: new SignerIdentifier({
      issuerAndSerialNumber: new IssuerAndSerialNumber({
        issuer: own.tbsCertificate.issuer,
        serialNumber: own.tbsCertificate.serialNumber,
      }),
    }),
    digestAlgorithm,
    signedAttrs,
    signatureAlgorithm:
      signer.algorithm === 'rsa'
        ? new AlgorithmIdentifier({ algorithm: RSA_ENCRYPTION, parameters: NULL })
        : new AlgorithmIdentifier({ algorithm: ECDSA_WITH_SHA256 }),
    // RFC 5652, 5.4: what is signed is their DER as a SET OF, not as the [0] it stands in.
    signature: new OctetString(signer.sign(setOf(signedAttrs))),
  });
  const data = new SignedData({
    version: CMSVersion.v1,
    digestAlgorithms: new DigestAlgorithmIdentifiers([digestAlgorithm]),
    encapContentInfo: new EncapsulatedContentInfo({ eContentType: id_data }),
    certificates: new CertificateSet(certificates.map((certificate) => new CertificateChoices({ certificate }))),
    signerInfos: new SignerInfos([signerInfo]),
  });
  const info = new ContentInfo({ contentType: id_signedData, content: AsnConvert.serialize(data) });
  return Buffer.from(AsnConvert.serialize(info));
}

function attribute(attrType: string, value: ArrayBuffer): Attribute {
  return new Attribute({ attrType, attrValues: [value] });
}

/** DER of an object identifier whose parts but the first two are below 2^28. */
function objectIdentifier(dotted: string): ArrayBuffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  const bytes = [first * 40 + second, ...rest.flatMap(base128)];
  return new Uint8Array([6, bytes.length, ...bytes]).buffer;
}

function base128(value: number): number[] {
  const digits = [value % 128];
  for (let left = Math.floor(value / 128); left > 0; left = Math.floor(left / 128)) digits.unshift(128 + (left % 128));
  return digits;
}

function setOf(members: readonly Attribute[]): Buffer {
  const content = Buffer.concat(members.map((member) => Buffer.from(AsnConvert.serialize(member))));
  if (content.length > 127) throw new Error('these attributes are longer than expected');
  return Buffer.concat([Buffer.from([SET_OF, content.length]), content]);
}
