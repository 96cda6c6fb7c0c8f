import type { SiteName } from '../../encoders/index.ts';
import { add, mul, scalar, type Value } from '../../graph/index.ts';
import type { Act, ResidualState, States } from '../act.ts';
import { type Average, average } from '../composition.ts';
import type { BlockKind } from './block.ts';

/**
 * The weighted mean of what adapters give. Python divides by their number once more (adapters 1.3.0); this is the mean itself.
 * As there the first adapter says what all of them read. One that leaves a site as it is counts with what it was given.
 */
export const AVERAGE: BlockKind<Average> = {
  type: 'average',
  python: 'Average',
  inside: ['stack', 'split', 'batchSplit'],
  sites: ['linear', 'residual', 'layer'],
  note: 'Average gives the weighted mean; adapters 1.3.0 divides it by the number of children once more, and answers otherwise.',
  bind: ({ children, weights }) => ({
    draw: () => (name, _site, child) => {
      const acts = children.map((one) => child(one));
      const there = acts.filter((act) => act !== undefined);
      const last = there.at(-1);
      if (!last) return undefined;
      return {
        apply(state) {
          const prepare = acts[0]?.prepare;
          const prepared = prepare ? prepare(state) : state;
          return mean(
            name,
            acts.map((act) => (act ? act.apply(prepared) : state)),
            weights,
          );
        },
        ...(acts[0]?.prepare && { prepare: acts[0].prepare }),
        ...(last.close && { close: last.close }),
      } satisfies Act<typeof name>;
    },
  }),
  // Python's class makes them add up to 1 unless it is told not to.
  write: ({ weights }) => ({ weights: [...weights], ...(Math.abs(sumOf(weights) - 1) > 1e-6 && { normalize_weights: false }) }),
  read(children, { weights, normalize_weights: normalizeWeights = true, ...others }, wrong) {
    if (Object.keys(others).length > 0) wrong(others, 'kwargs: weights, normalize_weights or nothing');
    if (typeof normalizeWeights !== 'boolean') return wrong(normalizeWeights, 'normalize_weights: true or false');
    if (weights === undefined) return average(children);
    if (!Array.isArray(weights) || weights.length !== children.length || !weights.every((weight) => typeof weight === 'number'))
      return wrong(weights, `weights: ${children.length} numbers`);
    const given = weights as number[];
    // What adds up to 1 already keeps its last bits.
    if (Math.abs(sumOf(given) - 1) <= 1e-6) return average(children, { weights: given, normalizeWeights: false });
    return average(children, { weights: given, normalizeWeights });
  },
};

function mean<Name extends SiteName>(name: Name, states: readonly States[Name][], weights: readonly number[]): States[Name] {
  if (name === 'residual')
    return {
      h: weighted(
        (states as readonly ResidualState[]).map(({ h }) => h),
        weights,
      ),
    } as States[Name];
  return weighted(states as readonly (Value | undefined)[], weights) as States[Name];
}

/** Σ wᵢ xᵢ; what is absent is zero. */
function weighted(values: readonly (Value | undefined)[], weights: readonly number[]): Value {
  return values.flatMap((value, i) => (value ? [mul(value, scalar(weights[i] as number))] : [])).reduce(add);
}

function sumOf(weights: readonly number[]): number {
  return weights.reduce((sum, weight) => sum + weight, 0);
}
