import type { Tensor } from '../base/index.ts';
import type { Encoder } from '../encoders/index.ts';
import { type Dropout, planDropout } from '../nn/index.ts';
import type { Feeds } from '../session/session.ts';

/** Seeded dropout for the programs of a model. */
interface ModelDropout {
  readonly dropout: Dropout;
  /** Weights of the programs. */
  readonly pools: ReadonlyMap<string, Tensor>;
  /** What a run is fed beside `feeds`, which say how large it is; `step` and `run` tell its masks from others'. */
  masks(feeds: Feeds, step: number, run: number): Feeds;
}

export function modelDropout({ config }: Pick<Encoder, 'config'>, seed: number): ModelDropout {
  const plan = planDropout(Math.max(config.hidden, config.intermediate, config.positions), seed);
  return {
    dropout: plan.dropout,
    pools: plan.pools,
    masks({ inputIds }, step, run) {
      const [sequences, width] = (inputIds as Tensor).shape as [number, number];
      const sizes = new Map([
        ['B', sequences],
        ['S', width],
      ]);
      return plan.feeds(seed, step, run, sizes);
    },
  };
}
