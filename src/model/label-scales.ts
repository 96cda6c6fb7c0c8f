import type { Tensor } from '../base/index.ts';
import type { EncoderConfig } from '../encoders/index.ts';
import type { Head, LabelScale, Unit } from '../objectives/index.ts';

/** Scales of the heads whose labels are numbers, by head, from their training units; undefined for others. */
export function labelScales(heads: readonly Head[], units: readonly (readonly Pick<Unit, 'target'>[])[]): (LabelScale | undefined)[] {
  return heads.map(({ kind: { numbers } }, i) => {
    const labels = numbers ? (units[i] ?? []).map((unit) => numbers.labelOf(unit)) : [];
    if (labels.length === 0) return undefined;
    const mean = labels.reduce((a, b) => a + b, 0) / labels.length;
    return { mean, deviation: deviation(labels) || 1 };
  });
}

/** The scale that takes back what another does. */
export function inverse({ mean, deviation }: LabelScale): LabelScale {
  return { mean: -mean / deviation, deviation: 1 / deviation };
}

/** Heads that answer in units of `scales` for heads that answer in standard ones. Values of all others stay as they are. */
export function rescaleHeads(
  values: ReadonlyMap<string, Tensor>,
  heads: readonly Head[],
  encoder: EncoderConfig,
  scales: readonly (LabelScale | undefined)[],
): ReadonlyMap<string, Tensor> {
  const rescaled = heads.flatMap((head, i) => {
    const scale = scales[i];
    return scale && head.kind.numbers ? [...head.kind.numbers.rescaled(head, encoder, values, scale)] : [];
  });
  return new Map([...values, ...rescaled]);
}

/** Standard deviation. */
export function deviation(values: readonly number[]): number {
  const mean = values.reduce((a, b) => a + b, 0) / Math.max(1, values.length);
  return Math.sqrt(values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / Math.max(1, values.length));
}
