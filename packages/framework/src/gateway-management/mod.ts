/**
 * Gateway management: enrolment, credentials, profiles, labels, liveness. Who a gateway is comes from its credential
 * alone, never from a topic, header or body.
 */
export { hashToken, newToken, sameToken } from './tokens.ts';
export {
  createGatewayManagement,
  type GatewayChange,
  type GatewayManagement,
  type GatewayManagementOptions,
} from './gateway-management.ts';
