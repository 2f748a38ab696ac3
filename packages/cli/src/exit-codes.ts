export { EXIT } from '@leonore/protocol';
