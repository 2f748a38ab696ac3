/**
 * Gateways that observe their task (RFC 7641): each is told once of what has changed, in a message that it must
 * acknowledge. Who does not, or refuses, is forgotten; who has been silent for long is told again to see if it is there.
 * One observation for each gateway; the last one counts.
 */
import {
  coapOption,
  type CoapMessage,
  type CoapPeer,
  type CoapTransmitter,
  type GatewayId,
  optionOf,
  type Tenant,
} from '@leonore/protocol';
import type { CoapAnswer } from './exchanges.ts';

export interface Observer {
  readonly tenant: Tenant;
  readonly id: GatewayId;
  readonly peer: CoapPeer;
  /** The request: how it wants to be told. */
  readonly message: CoapMessage;
}

interface Observation extends Observer {
  /** Of what it was told last. */
  etag: string;
  heardAt: number;
  sending?: AbortController;
}

export interface Observers {
  readonly size: number;
  has(tenant: Tenant, id: GatewayId): boolean;
  /** `told`: the answer to its request. True when it was not here before. Gives the value of the answer's Observe option. */
  add(observer: Observer, told: CoapAnswer): { readonly isNew: boolean; readonly sequence: number };
  /** As asked for, with the token of the observation when that is given. */
  remove(tenant: Tenant, id: GatewayId, token?: Buffer): void;
  /** Looks what is to be told, and tells it unless it was told already. Never rejects. */
  notify(tenant: Tenant, id: GatewayId): Promise<void>;
  /** Forgets all; gives who is to be told. */
  end(): readonly { readonly peer: CoapPeer; readonly token: Buffer }[];
}

const LOOK_MS = 60_000;

export function createObservers(
  deps: {
    readonly transmitter: Pick<CoapTransmitter, 'confirm'>;
    readonly represent: (observer: Observer) => Promise<CoapAnswer>;
    readonly onGone: (observer: Observer) => void;
    readonly onError: (error: unknown) => void;
  },
  { silentMs, lookMs = LOOK_MS }: { readonly silentMs: number; readonly lookMs?: number },
): Observers {
  const observations = new Map<string, Observation>();
  let sequence = 1;
  const nextSequence = (): number => (sequence = (sequence + 1) & 0xffffff);
  const key = (tenant: Tenant, id: GatewayId): string => `${tenant}/${id}`;
  const find = (tenant: Tenant, id: GatewayId) => observations.get(key(tenant, id));

  const drop = (observation: Observation): void => {
    observation.sending?.abort();
    if (find(observation.tenant, observation.id) !== observation) return;
    observations.delete(key(observation.tenant, observation.id));
    deps.onGone(observation);
  };

  const tell = async (observation: Observation, always: boolean): Promise<void> => {
    const { code, options = [], payload = Buffer.alloc(0) } = await deps.represent(observation);
    const etag = etagIn({ code, options });
    if (find(observation.tenant, observation.id) !== observation || (!always && etag === observation.etag)) return;
    // What is still under way is old.
    observation.sending?.abort();
    const sending = (observation.sending = new AbortController());
    observation.etag = etag;
    const { token } = observation.message;
    const content = { code, token, options: [...options, coapOption('Observe', nextSequence())], payload };
    const answer = await deps.transmitter.confirm(observation.peer, content, sending.signal);
    if (sending.signal.aborted) return;
    if (answer?.type === 'ack') observation.heardAt = performance.now();
    else drop(observation);
  };

  const look = setInterval(() => {
    for (const observation of observations.values()) {
      if (performance.now() - observation.heardAt < silentMs) continue;
      observation.heardAt = performance.now();
      tell(observation, true).catch(deps.onError);
    }
  }, lookMs);
  look.unref();

  return {
    get size() {
      return observations.size;
    },
    has: (tenant, id) => observations.has(key(tenant, id)),
    add(observer, told) {
      const known = find(observer.tenant, observer.id);
      known?.sending?.abort();
      const heardAt = performance.now();
      observations.set(key(observer.tenant, observer.id), { ...observer, etag: etagIn(told), heardAt });
      return { isNew: known === undefined, sequence: nextSequence() };
    },
    remove(tenant, id, token) {
      const known = find(tenant, id);
      if (known && (!token || known.message.token.equals(token))) drop(known);
    },
    notify: async (tenant, id) => {
      const known = find(tenant, id);
      if (known) await tell(known, false).catch(deps.onError);
    },
    end() {
      clearInterval(look);
      const all = [...observations.values()];
      observations.clear();
      for (const { sending } of all) sending?.abort();
      return all.map(({ peer, message }) => ({ peer, token: message.token }));
    },
  };
}

function etagIn({ options = [] }: CoapAnswer): string {
  return optionOf({ options }, 'ETag')?.toString('hex') ?? '';
}
