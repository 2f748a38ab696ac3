/** Colours by what they mean, or none at all. */
import { styleText } from 'node:util';

export { harmless } from '@leonore/protocol';

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
