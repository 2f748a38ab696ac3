/**
 * Provisioning handler: desired state, rollouts, tasks. Decides which gateway gets which package, by which strategy, and
 * leads each task along its state machine (protocol/task.ts) to an end that stands.
 */
export {
  createProvisioningHandler,
  type ProvisioningHandler,
  type ProvisioningOptions,
} from './provisioning-handler.ts';
