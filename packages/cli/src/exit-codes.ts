/** 0 done; 1 it failed; 2 the call was wrong; 3 not found; 4 not allowed; 5 no server reached. */
export const EXIT = { done: 0, failed: 1, usage: 2, notFound: 3, notAllowed: 4, unreachable: 5 } as const;
