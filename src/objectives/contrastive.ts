import { float32 } from '../base/index.ts';
import { add, matmul, mul, reduceSum, reshape, scalar, sub } from '../graph/index.ts';
import { normalised } from '../nn/index.ts';
import type { ClassTarget } from './classification.ts';
import type { Objective } from './kind.ts';

/**
 * Pairs of rows, by the cosines of their vectors: those of one label are drawn to 1, those of two to 0 (as SetFit does it, Tunstall
 * et al. 2022, over all pairs of what is computed at once instead of some drawn ones). The mean of (cos − 1)² over the first and the
 * mean of cos² over the second count alike. The logits are the vectors, [B, d]; the parts of a batch count by their rows, and a row
 * meets those of its own part only.
 */
export const CONTRASTIVE: Objective = {
  loss(_, vectors, { input }) {
    const unit = normalised(vectors);
    const cosines = matmul(unit, unit, { transB: true });
    const away = sub(cosines, scalar(1));
    const alike = mul(mul(away, away), input('alike', 'float32', cosines.shape));
    const unlike = mul(mul(cosines, cosines), input('unlike', 'float32', cosines.shape));
    return reshape(reduceSum(add(alike, unlike), [0, 1]), []);
  },
  targets(_, batch, weight) {
    const { sequences } = batch;
    const labels = batch.units.map(({ unit, place }) => [place, (unit.target as ClassTarget).label] as const);
    const [alike, unlike] = [new Float32Array(sequences ** 2), new Float32Array(sequences ** 2)];
    for (const [i, one] of labels) for (const [j, other] of labels) if (i !== j) (one === other ? alike : unlike)[i * sequences + j] = 1;
    for (const pairs of [alike, unlike]) {
      const count = pairs.reduce((sum, pair) => sum + pair, 0);
      const each = (weight * batch.units.length) / Math.max(1, count);
      for (const [i, pair] of pairs.entries()) pairs[i] = pair * each;
    }
    const shape = [sequences, sequences];
    return { alike: float32(shape, alike), unlike: float32(shape, unlike) };
  },
  terms: () => 1,
};
