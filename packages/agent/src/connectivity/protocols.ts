/** The protocols that this agent speaks, best first: what is to be said takes the first that is connected and can say it. */
import type { Protocol } from './channel.ts';
import { httpProtocol } from './http/http-channel.ts';
import { mqttProtocol } from './mqtt/mqtt-channel.ts';

export const PROTOCOLS: readonly Protocol[] = [mqttProtocol, httpProtocol];
