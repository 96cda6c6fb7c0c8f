import { float32, type Tensor } from '../../base/index.ts';
import type { Encoder } from '../../encoders/index.ts';
import { mul, reduceSum, reshape } from '../../graph/index.ts';
import { drawTokens } from '../../model/draw.ts';
import { encoderFeeds } from '../../model/encoder-inputs.ts';
import { weightsOf } from '../../model/model.ts';
import { parameters } from '../../nn/index.ts';
import type { Unit } from '../../objectives/index.ts';
import { batches } from '../../predict/predictor.ts';
import type { Engine } from '../../session/session.ts';

/** Rows of a task that its feature is made of. */
const FEATURE_ROWS = 64;

/**
 * What the rows of each task look like to the bare encoder, without anything attached to it: the mean over the first
 * {@link FEATURE_ROWS} units of the mean over real tokens of the last hidden states, [d]. `trained` holds encoder tensors in
 * place of the checkpoint's, by full name.
 */
export async function taskFeatures(
  engine: Engine,
  encoder: Encoder,
  trained: ReadonlyMap<string, Tensor>,
  tasks: readonly (readonly Unit[])[],
): Promise<Tensor[]> {
  const { config, weights } = encoder;
  const { tokens, mask } = drawTokens(
    encoder,
    parameters(() => false),
  );
  const hidden = reshape(tokens, ['B', 'S', config.hidden]);
  const sums = reduceSum(mul(hidden, reshape(mask, ['B', 'S', 1])), [1]);
  const replaced = new Map([...trained].filter(([name]) => weights.has(name)));
  const session = await engine.compile({ outputs: { sums } }, weightsOf({ encoder }, replaced));
  try {
    const features: Tensor[] = [];
    for (const units of tasks) {
      const mean = new Float64Array(config.hidden);
      let count = 0;
      for (const batch of batches(units.slice(0, FEATURE_ROWS))) {
        const encodings = batch.flatMap((unit) => unit.encodings);
        const { sums: found } = await session.run(encoderFeeds(encodings, encoder));
        encodings.forEach(({ inputIds }, i) => {
          for (let j = 0; j < mean.length; j++) (mean[j] as number) += Number(found?.data[i * mean.length + j]) / inputIds.length;
        });
        count += encodings.length;
      }
      features.push(
        float32(
          [config.hidden],
          mean.map((sum) => sum / count),
        ),
      );
    }
    return features;
  } finally {
    await session.release();
  }
}

/** The cosine of the angle between two features. */
export function cosine(a: Tensor, b: Tensor): number {
  let [product, left, right] = [0, 0, 0];
  for (let i = 0; i < a.data.length; i++) {
    const [x, y] = [Number(a.data[i]), Number(b.data[i])];
    product += x * y;
    left += x * x;
    right += y * y;
  }
  return product / Math.sqrt(left * right);
}
