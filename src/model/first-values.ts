import { createRandom, fail, type Tensor } from '../base/index.ts';
import type { Encoder } from '../encoders/index.ts';
import type { Initializer, ParameterSpec } from '../nn/index.ts';
import { ParameterStore, streamOf } from '../update/index.ts';

/**
 * Fills a store with first values: the checkpoint's own where it has them and they are not in `anew`, else as specifications
 * say, drawn from `seed`. Each parameter has a stream of its own: what is drawn does not depend on what else is.
 */
export async function fillStore(
  store: ParameterStore,
  { weights }: Pick<Encoder, 'weights'>,
  { seed, anew = new Map() }: { readonly seed: number; readonly anew?: ReadonlyMap<string, Initializer> },
): Promise<void> {
  store.initialize(seed);
  for (const { name, init } of store.specs) {
    const saved = anew.has(name) ? undefined : weights.get(name);
    if (saved) store.set(name, (await saved.read()).data as Float32Array);
    else if (init.kind === 'derived') store.set(name, await derived(name, init, weights, seed));
  }
}

/** First values of parameters by full name, as {@link fillStore} has them. */
export async function firstValues(
  specs: readonly ParameterSpec[],
  encoder: Pick<Encoder, 'weights'>,
  options: { readonly seed: number; readonly anew?: ReadonlyMap<string, Initializer> },
): Promise<Map<string, Tensor>> {
  const store = new ParameterStore(specs);
  await fillStore(store, encoder, options);
  return new Map(store.values());
}

async function derived(
  name: string,
  { reads, make }: Extract<Initializer, { kind: 'derived' }>,
  weights: Encoder['weights'],
  seed: number,
): Promise<Float32Array> {
  const read = await Promise.all(
    reads.map((source) => {
      const weight = weights.get(source);
      return weight
        ? weight.read()
        : fail({ code: 'encoder.weights', subject: source, found: 'nothing', expected: `a weight, from which ${name} begins` });
    }),
  );
  return make(read, createRandom(streamOf(name, seed)));
}
