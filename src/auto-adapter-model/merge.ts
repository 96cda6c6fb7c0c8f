import { fail, float32, type Tensor } from '../base/index.ts';
import { saveEncoder, saveHead } from '../checkpoint/index.ts';
import type { Encoder, EncoderWeight } from '../encoders/index.ts';
import { adaptersOf, attach, type Composition, describe, encoderFacts, fusionsOf, withoutLayers } from '../methods/index.ts';
import { affineSites } from '../model/affine.ts';
import { copyTokenizer } from '../text/index.ts';
import { type AttachedHead, adapterTensors, packedHead } from './attached.ts';
import { attachmentOf, type ModelState } from './model-state.ts';

interface Merging extends MergeOptions {
  /** Layers in which nothing is attached. */
  readonly skipLayers?: readonly number[];
}

export interface MergeOptions {
  /** Hears how many weights are merged, and the last of them. */
  readonly onProgress?: (done: number, path: string) => void;
}

/**
 * The encoder with an adapter, or several that are put together, in its weights. What lies in files stays as it is.
 * @throws method.config for an adapter that does what no weights of the encoder can, adapter.missing
 */
export async function mergedEncoder(state: ModelState, setup: Composition, options: Merging = {}): Promise<Encoder> {
  const { encoder } = state;
  const changed = await mergedWeights(state, setup, options);
  return {
    ...encoder,
    weights: new Map(
      [...encoder.weights].map(([name, weight]) => {
        const value = changed.get(name);
        return [name, value ? inMemory(weight, value) : weight] as const;
      }),
    ),
  };
}

/** A tensor that lies in no file, although its name does. */
function inMemory(weight: EncoderWeight, value: Tensor): EncoderWeight {
  return { ...weight, dtype: 'float32', inPlace: false, read: async () => value };
}

/** The weights of the encoder that change, by full name. @throws method.config, adapter.missing */
export async function mergedWeights(
  state: ModelState,
  setup: Composition,
  { onProgress, skipLayers = [] }: Merging = {},
): Promise<ReadonlyMap<string, Tensor>> {
  const { encoder, adapters } = state;
  if (fusionsOf(setup).length > 0)
    fail({
      code: 'method.config',
      subject: `merging ${describe(setup)}`,
      found: 'a fusion, whose attention depends on each token',
      expected: 'one adapter, or a stack or average of them',
      next: 'Distil it into one adapter first: multigraft distill.',
    });
  if (skipLayers.length > 0 && encoder.config.groups !== encoder.config.layers)
    fail({
      code: 'method.config',
      subject: `merging ${describe(setup)}`,
      found: `layers ${skipLayers.join(', ')} left out, of layers that share their weights`,
      expected: 'all layers, or an encoder whose layers have weights of their own',
    });
  const attached =
    typeof setup === 'string' ? attach(adapters.get(setup).method, { ...encoderFacts(encoder), name: setup }) : attachmentOf(state, setup);
  const attachment = withoutLayers(attached, skipLayers, encoder.config);
  const parts = await Promise.all(adaptersOf(setup).map((name) => adapterTensors(name, adapters.get(name), encoder)));
  const tensors = new Map(parts.flatMap((part) => [...part]));
  const changed = new Map<string, Tensor>();
  let done = 0;
  for await (const { matrix, from, shape, newWeight, bias, newBias, path } of affineSites(encoder, attachment, tensors)) {
    await put(`${matrix}.weight`, newWeight, from * (shape[1] ?? 1));
    if (bias) await put(`${matrix}.bias`, newBias, from);
    onProgress?.(++done, path);
  }
  return changed;

  async function put(name: string, values: Float64Array, start: number): Promise<void> {
    const before = changed.get(name) ?? (await encoder.weights.get(name)?.read());
    const { shape, data } = before as Tensor;
    const copy = Float32Array.from(data as Float32Array);
    copy.set(values, start);
    changed.set(name, float32(shape, copy));
  }
}

/** Encoder, tokenizer files and a head in one folder, as transformers and this library load them. @throws file.* */
export async function saveWhole({ files, encoder }: ModelState, folder: string, head: AttachedHead | undefined): Promise<void> {
  if (head) await saveHead(files, folder, await packedHead(head, encoder), encoder, { format: 'safetensors' });
  await copyTokenizer(files, encoder.folder, folder);
  await saveEncoder(files, folder, encoder, new Map());
}
