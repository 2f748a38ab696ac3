/** Bodies of answers, whoever made them. */

/** Ends a body that is not read to its end. */
export function destroyBody(body: unknown): void {
  if (body && typeof body === 'object' && 'destroy' in body && typeof body.destroy === 'function') body.destroy();
}
