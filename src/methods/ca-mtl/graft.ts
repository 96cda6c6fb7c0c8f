import { invariant } from '../../base/errors.ts';
import { type AddNormSite, firstTokens, type Graft, type Rows } from '../../encoders/index.ts';
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
export type Observe = (name: string, value: Value) => void;

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
export function graftCaMtl({ plan, added, taskIds }: CaMtlParts, parameters: Parameters, observe: Observe = () => {}): Graft {
  const { config, context, plainLayers } = plan;
  const { layers, epsilon } = context.encoder;
  const names = caMtlNames(context, config.variant);
  const own = ownParameters(added, parameters);
  const pretrained = config.start === 'pretrained';

  const z = gather(own.get(`${names.tasks}.weight`), taskIds);
  const vector = usesTransformation(plan) ? taskTransformation(own, names.transformation, z) : z;
  observe('taskVector', vector);

  const normalize = (x: Value, norm: Norm, generator: string | undefined, rows: Rows): Value => {
    if (generator === undefined) return layerNorm(x, norm.gain, norm.bias, norm.epsilon);
    return conditionalNorm(x, norm, modulation(own, generator, vector), rows);
  };
  const topLayer = (h: Value, site: AddNormSite): Value => {
    const norm = { gain: own.get(`${names.topNorm}.weight`), bias: own.get(`${names.topNorm}.bias`), epsilon };
    const inner = bottleneck(own, names.bottleneckAt(site.layer), vector, h, site);
    const residual = pretrained ? add(site.h, site.x) : site.x;
    return normalize(
      add(inner, residual),
      norm,
      config.conditional_layer_norm ? `${names.topNorm}.ln_weight_modulation.gb_weights` : undefined,
      site,
    );
  };
  const lastLayerOfBase = config.conditional_bottleneck && config.variant === 'base' ? layers - 1 : undefined;

  const graft: Graft = {
    addNorm(site) {
      const conditional = config.conditional_layer_norm && site.layer >= plainLayers;
      const h = normalize(add(site.h, site.x), site, conditional ? names.gain(site.layer, site.place) : undefined, site);
      return site.place === 'output' && site.layer === lastLayerOfBase ? topLayer(h, site) : h;
    },
  };
  if (config.conditional_alignment)
    graft.embeddings = ({ x, ...rows }) => {
      const aligned = film(x, modulation(own, names.alignment, z), rows);
      observe('aligned', aligned);
      return aligned;
    };
  if (config.conditional_attention) {
    const mask = sameBlock(config.max_length, plan.blockWidth);
    graft.scores = ({ layer, scores, ...rows }) => {
      const keys = scores.shape[3] as Dim;
      const by = modulation(own, names.attention(layer), vector);
      const bias = blockDiagonal(own.get(names.matrix(layer)), by, mask, rows, keys);
      observe(`bias/${layer}`, bias);
      return add(scores, reshape(bias, [rows.batch, 1, rows.length, keys]));
    };
  }
  return config.conditional_bottleneck && config.variant === 'large' ? { ...graft, ...ladder() } : graft;

  function ladder(): Pick<Graft, 'layer' | 'output'> {
    let last: { readonly rung: Value; readonly rows: Rows } | undefined;
    return {
      layer({ layer, h, batch, length }) {
        const rows = { batch, length };
        const below = last && (length === 1 ? firstTokens(last.rung, last.rows) : last.rung);
        const rung = bottleneck(own, names.bottleneckAt(layer), vector, below ? add(h, below) : h, rows);
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
