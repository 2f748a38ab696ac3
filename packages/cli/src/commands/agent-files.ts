/** Where the files lie that a node hands to machines that are to become gateways. */
import { fileURLToPath } from 'node:url';

/** Name -> path; what must be built first may not be there. */
export function agentFiles(): Readonly<Record<string, string>> {
  // By where the packages are; nothing of them is loaded.
  const agent = import.meta.resolve('@leonore/agent');
  const at = (path: string): string => fileURLToPath(new URL(path, agent));
  const setup = [
    'install.sh',
    'leonore-agent',
    'leonore-agent-lite-start',
    'leonore-agent-uninstall',
    'leonore-agent.service',
    'leonore-agent.openrc',
    'leonore-agent.init',
  ];
  return {
    ...Object.fromEntries(setup.map((name) => [name, at(`../setup/${name}`)])),
    'leonore-agent.js': at('../dist/leonore-agent.js'),
    'leonore-agent-lite': at('../../agent-lite/leonore-agent-lite'),
  };
}
