/**
 * Gateway handler: the contact point for gateways, one folder for each protocol. It translates: what a gateway may do and
 * what its task is, is decided behind `GatewayTasks` (the provisioning handler) and by gateway management.
 */
export type {
  CurrentWork,
  DeliveryHandling,
  GatewayPush,
  GatewayTasks,
  TaskDelivery,
  TaskHistory,
} from './contract.ts';
export { createCoapServer, type CoapServer, type CoapServerOptions } from './coap/coap-server.ts';
export { cancelDocument, deploymentDocument } from './documents.ts';
export { registerDdi, type DdiOptions } from './http/ddi.ts';
export { registerGatewayApi } from './http/gateway-api.ts';
export { networks, type Networks, PRIVATE_NETWORKS } from './http/networks.ts';
export { sendPackage } from './http/package-bytes.ts';
export { createRateLimit, type RateLimits } from './http/rate-limit.ts';
export { createBroker, type Broker, type BrokerOptions } from './mqtt/broker.ts';
export { pushOverAll, unlessElsewhere } from './ways.ts';
