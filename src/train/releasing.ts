interface Releasable {
  release(): Promise<void>;
}

/** Does work that takes hold of sessions, and releases them in the end whatever comes. */
export async function releasing<R>(work: (hold: <T extends Releasable>(held: T) => T) => Promise<R>): Promise<R> {
  const all: Releasable[] = [];
  try {
    return await work((held) => {
      all.push(held);
      return held;
    });
  } finally {
    for (const held of all) await held.release();
  }
}
