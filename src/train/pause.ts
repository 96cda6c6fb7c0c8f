/** A run computes on this thread: without pauses no signal would ever be heard. */
export function pause(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
