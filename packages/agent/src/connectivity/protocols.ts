/** The protocols that this agent speaks, best first: what is to be said takes the first that is connected and can say it. */
import { LeonoreError } from '@leonore/protocol';
import type { Protocol } from './channel.ts';
import { coapProtocol } from './coap/coap-channel.ts';
import { httpProtocol } from './http/http-channel.ts';
import { mqttProtocol } from './mqtt/mqtt-channel.ts';

export const PROTOCOLS: readonly Protocol[] = [mqttProtocol, httpProtocol, coapProtocol];

/** What is spoken where nobody says otherwise. CoAP is for links that need it. */
const USUAL = ['mqtt', 'http'];

/** Those of these names, in this order. @throws LeonoreError `config.invalid` for a name that is none */
export function protocolsNamed(names: readonly string[] = USUAL): readonly Protocol[] {
  return names.map((name) => {
    const found = PROTOCOLS.find((protocol) => protocol.name === name);
    if (found) return found;
    const known = PROTOCOLS.map((protocol) => protocol.name).join(', ');
    throw new LeonoreError('config.invalid', `"${name}" is no protocol of this agent; it speaks ${known}`);
  });
}
