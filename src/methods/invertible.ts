import { z } from 'zod';
import { fail } from '../base/index.ts';
import { withText } from '../encoders/index.ts';
import { add, concat, slice, sub, type Value } from '../graph/index.ts';
import { NORMAL, type ParameterSpec, ZERO } from '../nn/index.ts';
import { bottleneckActs, bottleneckParameters } from './bottleneck.ts';
import { bottleneckFields, checkedTogether, DOUBLE, NO_PHM, SEQUENTIAL } from './bottleneck-config.ts';
import type { MethodContext } from './context.ts';
import { product } from './low-rank.ts';
import type { Method, ReadParameter } from './method.ts';
import { gateNotes } from './per-sequence.ts';

const fields = bottleneckFields.extend({
  phm_layer: NO_PHM,
  inv_adapter: z.literal('nice', "'nice', whose coupling adds; the one that also scales is not available"),
  inv_adapter_reduction_factor: z.number().positive(),
});

type InvertibleConfig = z.infer<typeof fields>;

const NICE = { inv_adapter: 'nice', inv_adapter_reduction_factor: 2 };

/**
 * Invertible adapters of MAD-X (Pfeiffer et al. 2020, section 4.2.2), beside bottlenecks or alone: the coupling of NICE (Dinh et al.
 * 2015) over the embeddings of width E, before any projection, and its inverse over what the word table is read with.
 *
 *   x = [x1, x2], of ⌊E/2⌋ numbers and the rest
 *   y1 = x1 + F(x2)      y2 = x2 + G(y1)
 *   x2 = y2 − G(y1)      x1 = y1 − F(x2)
 *
 * F and G are W₂ f(W₀ x + b₀) + b₂, inside ⌊in / inv_adapter_reduction_factor⌋ wide; f is `non_linearity`.
 */
export const INVERTIBLE: Method<InvertibleConfig> = {
  name: 'invertible',
  summary: 'bottlenecks, and an invertible coupling over the embeddings that is undone where words are predicted',
  paper: 'Pfeiffer et al. 2020 (MAD-X)',
  architecture: null,
  claims: ({ inv_adapter }) => Boolean(inv_adapter),
  schema: checkedTogether(fields),
  presets: {
    seq_bn_inv: { ...SEQUENTIAL, ...NICE },
    'pfeiffer+inv': { ...SEQUENTIAL, ...NICE },
    double_seq_bn_inv: { ...DOUBLE, ...NICE },
    'houlsby+inv': { ...DOUBLE, ...NICE },
  },
  floatKeys: ['scaling', 'dropout', 'stochastic_depth', 'phm_init_range'],
  learningRate: 1e-3,
  mixesTokens: (config) => config.use_gating,
  notes: gateNotes,
  parameters: (config, context) => [...bottleneckParameters(config, context), ...couplingParameters(config, context)],
  acts(config, context, read, dropout) {
    const { forward, inverse } = coupling(config, context, read);
    return {
      ...bottleneckActs(config, context, read, dropout),
      embedded: () => ({ apply: (state) => withText(state, forward) }),
      word: () => ({ apply: inverse }),
    };
  },
};

function couplingParameters({ inv_adapter_reduction_factor: factor }: InvertibleConfig, context: MethodContext): ParameterSpec[] {
  const { embedding } = context.encoder;
  const first = firstHalf(embedding);
  const network = (path: string, fanIn: number, out: number): ParameterSpec[] => {
    const inner = Math.round((fanIn - (fanIn % factor)) / factor);
    if (inner < 1)
      fail({
        code: 'method.config',
        subject: 'inv_adapter_reduction_factor',
        found: `${factor}`,
        expected: `at most ${fanIn}, half the width of the embeddings`,
      });
    return [
      { name: `${path}.0.weight`, shape: [inner, fanIn], init: NORMAL, decay: true },
      { name: `${path}.0.bias`, shape: [inner], init: ZERO, decay: false },
      { name: `${path}.2.weight`, shape: [out, inner], init: NORMAL, decay: true },
      { name: `${path}.2.bias`, shape: [out], init: ZERO, decay: false },
    ];
  };
  return [...network(pathOf(context, 'F'), embedding - first, first), ...network(pathOf(context, 'G'), first, embedding - first)];
}

function coupling(
  { non_linearity }: InvertibleConfig,
  context: MethodContext,
  read: ReadParameter,
): { readonly forward: (x: Value) => Value; readonly inverse: (y: Value) => Value } {
  const network = (name: 'F' | 'G') => (input: Value) => {
    const path = pathOf(context, name);
    return product({
      input,
      down: read(`${path}.0.weight`),
      downBias: read(`${path}.0.bias`),
      activation: non_linearity,
      up: read(`${path}.2.weight`),
      upBias: read(`${path}.2.bias`),
    });
  };
  const [F, G] = [network('F'), network('G')];
  return {
    forward(x) {
      const [x1, x2] = halves(x);
      const y1 = add(x1, F(x2));
      return concat([y1, add(x2, G(y1))], 1);
    },
    inverse(y) {
      const [y1, y2] = halves(y);
      const x2 = sub(y2, G(y1));
      return concat([sub(y1, F(x2)), x2], 1);
    },
  };
}

/** Full name of one of the two networks, which no layer has. */
function pathOf({ family, name }: MethodContext, network: 'F' | 'G'): string {
  return `${family.prefix}invertible_adapters.${name}.${network}`;
}

function firstHalf(width: number): number {
  return Math.floor(width / 2);
}

/** [rows, d] → [rows, ⌊d/2⌋] and the rest. */
function halves(x: Value): [Value, Value] {
  const width = x.shape.at(-1) as number;
  const first = firstHalf(width);
  return [slice(x, 1, 0, first), slice(x, 1, first, width)];
}
