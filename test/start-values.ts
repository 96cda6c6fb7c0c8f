import type { Tensor } from '../src/base/tensor.ts';
import type { Model } from '../src/model/model.ts';
import { startStore } from '../src/model/start-values.ts';

/** First values of all that trains in a model, and of what does not and is not the checkpoint's. */
export async function startValues(model: Model, seed: number): Promise<Map<string, Tensor>> {
  const { store, fixed } = await startStore(model, seed);
  return new Map([...store.values(), ...fixed]);
}
