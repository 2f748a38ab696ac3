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
export { cancelDocument, deploymentDocument } from './documents.ts';
export { registerDdi, type DdiOptions } from './http/ddi.ts';
export { registerGatewayApi } from './http/gateway-api.ts';
export { sendPackage } from './http/package-bytes.ts';
export { createBroker, type Broker, type BrokerOptions } from './mqtt/broker.ts';
