import type { Program } from '../graph/index.ts';
import type { Engine, Session, Weights } from './session.ts';

/**
 * An engine that compiles equal programs over the same weights once: whoever asks again while the first session lives
 * gets it too. It is released when the last of them lets go. `identify` tells programs apart.
 */
export function shareSessions(engine: Engine, identify: (program: Program, weights: Weights) => string): Engine {
  const live = new Map<string, { readonly session: Promise<Session>; users: number }>();
  return {
    name: engine.name,
    get compilations() {
      return engine.compilations;
    },
    async compile(program, weights) {
      const key = identify(program, weights);
      const entry = live.get(key) ?? { session: engine.compile(program, weights), users: 0 };
      live.set(key, entry);
      entry.users++;
      const session = await entry.session.catch((error) => {
        live.delete(key);
        throw error;
      });
      let released = false;
      return {
        run: (feeds, into) => session.run(feeds, into),
        async release() {
          if (released) return;
          released = true;
          entry.users--;
          if (entry.users > 0) return;
          live.delete(key);
          await session.release();
        },
      };
    },
  };
}
