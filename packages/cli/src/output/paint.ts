/** Colours by what they mean, or none at all. And the guard that keeps what gateways send from steering the terminal. */
import { styleText } from 'node:util';

export interface Paint {
  readonly on: boolean;
  readonly strong: (text: string) => string;
  readonly faint: (text: string) => string;
  readonly good: (text: string) => string;
  readonly bad: (text: string) => string;
  readonly busy: (text: string) => string;
  readonly address: (text: string) => string;
}

export function createPaint(on: boolean): Paint {
  const style = (format: Parameters<typeof styleText>[0]) => {
    return (text: string) => (on && text !== '' ? styleText(format, text, { validateStream: false }) : text);
  };
  return {
    on,
    strong: style('bold'),
    faint: style('dim'),
    good: style('green'),
    bad: style('red'),
    busy: style('yellow'),
    address: style('cyan'),
  };
}

/** A state in the colour of what it means to people. */
export function paintState(paint: Paint, state: string): string {
  switch (state) {
    case 'succeeded':
    case 'connected':
      return paint.good(state);
    case 'failed':
    case 'rejected':
    case 'aborted':
      return paint.bad(state);
    case 'running':
    case 'downloading':
    case 'installing':
    case 'paused':
      return paint.busy(state);
    default:
      return state;
  }
}

/** Control characters, which could move the cursor or recolour the screen, as visible marks; line ends and tabs as blanks. */
export function harmless(text: string): string {
  return text.replaceAll(/[\r\n\t]+/g, ' ').replaceAll(/[\p{Cc}\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu, '\uFFFD');
}
