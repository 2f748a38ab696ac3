/**
 * What the agent uses that Node 20 does not have yet. The one place that adds to what is global, and only what is missing:
 * gateways have the Node of their distribution.
 */
export function fillOlderNode(): void {
  fill(URL, 'parse', (url: string, base?: string) => (URL.canParse(url, base) ? new URL(url, base) : null));
  fill(Promise, 'withResolvers', () => {
    let settle: unknown;
    const promise = new Promise((resolve, reject) => (settle = { resolve, reject }));
    return Object.assign({ promise }, settle);
  });
}

function fill(target: object, name: string, value: unknown): void {
  if (name in target) return;
  Object.defineProperty(target, name, { value, writable: true, configurable: true });
}
