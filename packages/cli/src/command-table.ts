/** Every command by name: its sentence for the overview, and the file that is loaded when it is called. */
import type { Register } from './app.ts';

interface Entry {
  readonly summary: string;
  readonly load: () => Promise<Register>;
}

export const COMMANDS = {
  demo: {
    summary: 'show it all at work: a node, examples, real agents and simulated gateways',
    load: async () => (await import('./commands/demo.ts')).registerDemo,
  },
  node: {
    summary: 'run a LEONORE node',
    load: async () => (await import('./commands/node.ts')).registerNode,
  },
  agent: {
    summary: "run a gateway's agent",
    load: async () => (await import('./commands/agent.ts')).registerAgent,
  },
  login: {
    summary: 'keep the address and token of a node for later calls',
    load: async () => (await import('./commands/login.ts')).registerLogin,
  },
  context: {
    summary: 'list, choose and forget the nodes that login has kept',
    load: async () => (await import('./commands/context.ts')).registerContext,
  },
  artifact: {
    summary: 'make, pack, publish, show and withdraw artifacts; who runs and needs them',
    load: async () => (await import('./commands/artifact.ts')).registerArtifact,
  },
  gateway: {
    summary: 'show, label, enrol and remove gateways',
    load: async () => (await import('./commands/gateway.ts')).registerGateway,
  },
  provision: {
    summary: 'bring applications to the gateways that a selector names',
    load: async () => (await import('./commands/provision.ts')).registerProvision,
  },
  rollout: {
    summary: 'show, watch and steer rollouts',
    load: async () => (await import('./commands/rollout.ts')).registerRollout,
  },
  task: {
    summary: 'show how the change of one gateway went, and why it did not',
    load: async () => (await import('./commands/task.ts')).registerTask,
  },
  explain: {
    summary: 'show the install plan for a gateway or for each class of a selection, or why there is none',
    load: async () => (await import('./commands/explain.ts')).registerExplain,
  },
  package: {
    summary: 'show, compare and fetch composed packages',
    load: async () => (await import('./commands/package.ts')).registerPackage,
  },
  store: {
    summary: "show how full a node's store is, verify its bytes, collect what nothing needs",
    load: async () => (await import('./commands/store.ts')).registerStore,
  },
} as const satisfies Record<string, Entry>;

export const commandNames = Object.keys(COMMANDS) as (keyof typeof COMMANDS)[];
