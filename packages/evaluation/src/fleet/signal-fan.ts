/**
 * One signal of its own for each of many members, all aborted with the one they come from. A signal that thousands
 * listen to walks through all of them whenever one more comes, so each request of a fleet would cost as much as the fleet is large.
 */
export interface SignalFan extends Disposable {
  next(): AbortSignal;
}

export function createSignalFan(source: AbortSignal): SignalFan {
  const members: AbortController[] = [];
  const abort = (): void => {
    for (const member of members) member.abort(source.reason);
  };
  source.addEventListener('abort', abort);
  return {
    next() {
      const member = new AbortController();
      members.push(member);
      if (source.aborted) member.abort(source.reason);
      return member.signal;
    },
    [Symbol.dispose]: () => source.removeEventListener('abort', abort),
  };
}
