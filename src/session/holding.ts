import type { Engine, Session } from './session.ts';

/** An engine whose programs outlive their users: whoever asks for the same one later gets it ready. */
export interface HoldingEngine extends Engine {
  /** Lets go of every program that was held. */
  release(): Promise<void>;
}

/** Many runs of one shape after another (an adapter for each of many tasks) then compile as often as one of them. */
export function holding(engine: Engine): HoldingEngine {
  const held: Session[] = [];
  return {
    name: engine.name,
    ...(engine.memory !== undefined && { memory: engine.memory }),
    get compilations() {
      return engine.compilations;
    },
    async compile(program, weights) {
      const session = await engine.compile(program, weights);
      held.push(session);
      return { run: session.run, release: async () => {} };
    },
    async release() {
      for (const session of held.splice(0)) await session.release();
    },
  };
}
