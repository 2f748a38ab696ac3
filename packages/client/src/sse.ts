/**
 * Reads a stream of server-sent events, as the HTML Standard has it (9.2.6 Interpreting an event stream).
 * Leaves to others: connecting and what the events mean (events.ts).
 */
export interface SseMessage {
  /** `message` when the stream names none. */
  readonly event: string;
  readonly data: string;
  /** The last id seen, also when it came with an earlier message; empty when none has come. */
  readonly id: string;
}

export interface SseParser {
  /** Milliseconds the server wants us to wait before connecting again. */
  readonly retryMs: number | undefined;
  /** Takes any piece of the stream; gives the messages that it completes. */
  push(text: string): SseMessage[];
}

export function createSseParser(): SseParser {
  let rest = '';
  let atStart = true;
  let event = '';
  let data: string[] = [];
  let id = '';
  let retryMs: number | undefined;

  function field(name: string, value: string): void {
    if (name === 'event') event = value;
    else if (name === 'data') data.push(value);
    else if (name === 'id' && !value.includes('\0')) id = value;
    else if (name === 'retry' && /^\d+$/.test(value)) retryMs = Number(value);
  }

  function line(text: string): SseMessage | undefined {
    if (text === '') {
      const message = data.length > 0 ? { event: event || 'message', data: data.join('\n'), id } : undefined;
      event = '';
      data = [];
      return message;
    }
    const colon = text.indexOf(':');
    if (colon === 0) return undefined;
    if (colon < 0) field(text, '');
    else field(text.slice(0, colon), text.slice(colon + 1).replace(/^ /, ''));
    return undefined;
  }

  return {
    get retryMs() {
      return retryMs;
    },
    push(text) {
      rest += text;
      if (atStart && rest !== '') {
        atStart = false;
        if (rest.startsWith('\uFEFF')) rest = rest.slice(1);
      }
      const messages: SseMessage[] = [];
      let start = 0;
      for (const match of rest.matchAll(/\r\n|\n|\r/g)) {
        // A CR at the very end may be the first half of a CRLF: wait for what follows.
        if (match[0] === '\r' && match.index === rest.length - 1) break;
        const message = line(rest.slice(start, match.index));
        if (message) messages.push(message);
        start = match.index + match[0].length;
      }
      rest = rest.slice(start);
      return messages;
    },
  };
}

/** Messages of a byte stream; what is left unfinished at its end is dropped, as the standard says. */
export async function* parseSse(
  source: AsyncIterable<Uint8Array>,
  parser: SseParser = createSseParser(),
): AsyncGenerator<SseMessage, void, undefined> {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  for await (const chunk of source) yield* parser.push(decoder.decode(chunk, { stream: true }));
}
