/** How a task reaches its gateway, a file each. Pull always repairs: what a push loses the next poll finds. */
export { createPullStrategy, type PullStrategy } from './pull.ts';
export { createPushStrategy } from './push.ts';
export { chooseStrategy, type ProvisioningStrategy } from './strategy.ts';
