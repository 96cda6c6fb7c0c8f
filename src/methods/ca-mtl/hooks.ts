import { invariant } from '../../base/index.ts';
import {
  firstTokens,
  type HiddenSite,
  type Hooks,
  type NormSite,
  type ResidualSite,
  type Rows,
  type ScoresSite,
} from '../../encoders/index.ts';
import { add, type Dim, gather, layerNorm, reshape, type Value } from '../../graph/index.ts';
import type { ParameterSpec, Parameters } from '../../nn/index.ts';
import type { CaMtlPlan } from './config.ts';
import {
  blockDiagonal,
  bottleneck,
  conditionalNorm,
  film,
  modulation,
  type Norm,
  type Own,
  sameBlock,
  taskTransformation,
} from './modules.ts';
import { caMtlNames } from './names.ts';
import { usesTransformation } from './parameters.ts';

export interface CaMtlParts {
  readonly plan: CaMtlPlan;
  /** Every tensor that it adds, frozen ones too. */
  readonly added: readonly ParameterSpec[];
  /** The program's input [B] int32 that holds each sequence's task. */
  readonly taskIds: Value;
}

/** Told of the values worth looking at: 'aligned', 'taskVector', and 'bias/i' (M), 'ladder/i' of layer i. */
type ObserveCaMtl = (name: string, value: Value) => void;

/**
 * CA-MTL in an encoder, for batches of 'B' sequences.
 *
 *   embeddings  e' = FiLM(e) by z = task embedding; everything above is conditioned on z' = W z + b
 *   attention   softmax(M(z') + Q Kᵀ/√d_head + mask) V, in every layer
 *   norms       LN with gain (1 + γ(z')) ⊙ w + β(z'), in the upper half
 *   base        top layer, with a its attention's and f its feed-forward's output, h = LN₂(f + a):
 *               LN₃(bottleneck(h) + a), or LN₃(bottleneck(h) + f + a) for a pretrained start
 *   large       f_i = bottleneck_i(h_i + f_{i−1}), f_0 = 0; the encoder's output is f_L, or h_L + f_L for a pretrained start
 */
export function hooksOfCaMtl({ plan, added, taskIds }: CaMtlParts, parameters: Parameters, observe: ObserveCaMtl = () => {}): Hooks {
  const { config, context, plainLayers } = plan;
  const { layers, epsilon } = context.encoder;
  const names = caMtlNames(context, config.variant);
  const read = ownParameters(added, parameters);
  const pretrained = config.start === 'pretrained';
  const baseTop = config.conditional_bottleneck && config.variant === 'base' ? layers - 1 : undefined;

  const z = gather(read.get(`${names.tasks}.weight`), taskIds);
  const vector = usesTransformation(plan) ? taskTransformation(read, names.transformation, z) : z;
  observe('taskVector', vector);

  const conditioned = (x: Value, norm: Norm, path: string, rows: Rows): Value =>
    conditionalNorm(x, norm, modulation(read, names.gain(path), vector), rows);

  return {
    ...(config.conditional_alignment && { input: aligned }),
    ...(config.conditional_layer_norm && { norm: normed }),
    ...(config.conditional_attention && { scores: biased() }),
    ...(baseTop !== undefined && { residual: topped }),
    ...(config.conditional_bottleneck && config.variant === 'large' && ladder()),
  };

  function aligned({ x, ...rows }: HiddenSite): Value {
    const output = film(x, modulation(read, names.alignment, z), rows);
    observe('aligned', output);
    return output;
  }

  function normed({ layer, path, x, gain, bias, y, ...rows }: NormSite): Value {
    return layer !== undefined && layer >= plainLayers ? conditioned(x, { gain, bias, epsilon }, path, rows) : y;
  }

  function biased(): (site: ScoresSite) => Value {
    const mask = sameBlock(config.max_length, plan.blockWidth);
    return ({ layer, scores, ...rows }) => {
      const keys = scores.shape[3] as Dim;
      const by = modulation(read, names.attention(layer), vector);
      const bias = blockDiagonal(read.get(names.matrix(layer)), by, mask, rows, keys);
      observe(`bias/${layer}`, bias);
      return add(scores, reshape(bias, [rows.batch, 1, rows.length, keys]));
    };
  }

  function topped(site: ResidualSite): Value {
    const h = site.join(site.h);
    if (site.place !== 'output' || site.layer !== baseTop) return h;
    const norm = { gain: read.get(`${names.topNorm}.weight`), bias: read.get(`${names.topNorm}.bias`), epsilon };
    const inner = bottleneck(read, names.bottleneckAt(site.layer), vector, h, site);
    const sum = add(inner, pretrained ? add(site.h, site.x) : site.x);
    return config.conditional_layer_norm ? conditioned(sum, norm, names.topNorm, site) : layerNorm(sum, norm.gain, norm.bias, epsilon);
  }

  function ladder(): Pick<Hooks, 'layer' | 'output'> {
    let last: { readonly rung: Value; readonly rows: Rows } | undefined;
    return {
      layer({ layer, h, batch, length, first }) {
        const rows = { batch, length, first };
        const below = last && (length === 1 ? firstTokens(last.rung, last.rows) : last.rung);
        const rung = bottleneck(read, names.bottleneckAt(layer), vector, below ? add(h, below) : h, rows);
        observe(`ladder/${layer}`, rung);
        last = { rung, rows };
        return h;
      },
      output: ({ x }) => {
        invariant(last, 'a ladder without rungs');
        return pretrained ? add(x, last.rung) : last.rung;
      },
    };
  }
}

function ownParameters(specs: readonly ParameterSpec[], parameters: Parameters): Own {
  const shapes = new Map(specs.map(({ name, shape }) => [name, shape]));
  return { has: (name) => shapes.has(name), get: (name) => parameters(name, shapes.get(name) as readonly number[]) };
}
