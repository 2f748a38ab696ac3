/** One LEONORE node: repositories, dependency management, package builder, provisioning, and the faces they have. */
export { startNode, VERSION, type LeonoreNode, type NodeOptions } from './node.ts';
