/** Authorities and certificates for tests, made by openssl. */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** A reason to skip tests that need certificates; false where openssl is. */
export const NO_OPENSSL: string | false =
  spawnSync('openssl', ['version'], { stdio: 'ignore' }).error !== undefined &&
  'openssl is not installed; on Debian: apt-get install openssl';

export interface Certificate {
  readonly certFile: string;
  readonly keyFile: string;
  readonly cert: string;
  readonly key: string;
}

export interface Authority {
  readonly file: string;
  /** For these names, such as `DNS:node.example` or `IP:127.0.0.1`. */
  issue(name: string, subjects: string, options?: { expired?: boolean }): Certificate;
}

export function makeAuthority(dir: string, name: string): Authority {
  const openssl = (...args: string[]): void => {
    const { status, stderr } = spawnSync('openssl', args, { cwd: dir, encoding: 'utf8' });
    if (status !== 0) throw new Error(`openssl ${args.join(' ')}: ${stderr}`);
  };
  const at = (file: string): string => join(dir, file);
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  openssl(
    'req',
    '-x509',
    ...newKey,
    '-days',
    '30',
    '-subj',
    `/CN=${name}`,
    '-keyout',
    `${name}.key`,
    '-out',
    `${name}.pem`,
  );
  return {
    file: at(`${name}.pem`),
    issue(subject, subjects, { expired = false } = {}) {
      const [cert, key] = [`${subject}.pem`, `${subject}.key`];
      writeFileSync(at(`${subject}.ext`), `subjectAltName=${subjects}\n`);
      openssl('req', ...newKey, '-subj', `/CN=${subject}`, '-keyout', key, '-out', `${subject}.csr`);
      const signing = ['x509', '-req', '-in', `${subject}.csr`, '-CA', `${name}.pem`, '-CAkey', `${name}.key`];
      const content = ['-CAcreateserial', '-days', expired ? '-1' : '30', '-extfile', `${subject}.ext`, '-out', cert];
      openssl(...signing, ...content);
      const read = (file: string): string => readFileSync(at(file), 'utf8');
      return { certFile: at(cert), keyFile: at(key), cert: read(cert), key: read(key) };
    },
  };
}
