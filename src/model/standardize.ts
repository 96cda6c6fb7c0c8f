import type { Tensor } from '../base/tensor.ts';
import { type Head, headParameters } from '../objectives/index.ts';
import type { Unit } from './data.ts';

/** Mean and standard deviation of a task's training labels. */
export interface LabelScale {
  readonly mean: number;
  readonly deviation: number;
}

/** Scales of the tasks whose labels are numbers, by task; undefined for others. */
export function labelScales(units: readonly (readonly Pick<Unit, 'target'>[])[]): (LabelScale | undefined)[] {
  return units.map((own) => {
    const labels = own.flatMap(({ target }) => (target?.kind === 'number' ? [target.value] : []));
    if (labels.length === 0) return undefined;
    const mean = labels.reduce((a, b) => a + b, 0) / labels.length;
    return { mean, deviation: deviation(labels) || 1 };
  });
}

/** The scale that takes back what another does. */
export function inverse({ mean, deviation }: LabelScale): LabelScale {
  return { mean: -mean / deviation, deviation: 1 / deviation };
}

/**
 * Heads that answer in units of `scales` for heads that answer in standard ones: with y = Wx + b in standard units the last
 * linear becomes (σW)x + (σb + μ). Values of other heads and of everything else stay as they are.
 */
export function rescaleHeads(
  values: ReadonlyMap<string, Tensor>,
  heads: readonly Head[],
  hidden: number,
  scales: readonly (LabelScale | undefined)[],
): ReadonlyMap<string, Tensor> {
  const rescaled = new Map(values);
  for (const [task, head] of heads.entries()) {
    const scale = scales[task];
    if (!scale) continue;
    for (const name of lastLinear(head, hidden)) {
      const value = values.get(name);
      if (!value) continue;
      const shift = name.endsWith('.bias') ? scale.mean : 0;
      rescaled.set(name, { ...value, data: (value.data as Float32Array).map((x) => scale.deviation * x + shift) });
    }
  }
  return rescaled;
}

function lastLinear(head: Head, hidden: number): string[] {
  return headParameters(head, hidden)
    .slice(head.config.bias ? -2 : -1)
    .map(({ name }) => name);
}

/** Standard deviation. */
export function deviation(values: readonly number[]): number {
  const mean = values.reduce((a, b) => a + b, 0) / Math.max(1, values.length);
  return Math.sqrt(values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / Math.max(1, values.length));
}
