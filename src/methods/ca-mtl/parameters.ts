import { PLACES } from '../../encoders/index.ts';
import { copyOf, type Initializer, NORMAL, ONE, type ParameterSpec, ZERO } from '../../nn/index.ts';
import type { CaMtlPlan } from './config.ts';
import { type Inside, keepsAdded } from './freezing.ts';
import { type CaMtlNames, caMtlNames, normPath } from './names.ts';

/** Every tensor that CA-MTL adds to the encoder; those that its freezing leaves untrained say so. */
export function caMtlParameters(plan: CaMtlPlan): ParameterSpec[] {
  const { config, context, plainLayers } = plan;
  const { hidden: d, layers } = context.encoder;
  const names = caMtlNames(context, config.variant);
  const all = Array.from({ length: layers }, (_, i) => i);
  const bottlenecks = !config.conditional_bottleneck ? [] : config.variant === 'base' ? [layers - 1] : all;
  const conditioned = config.conditional_layer_norm ? all.slice(plainLayers) : [];
  const inside = (at: Inside, specs: readonly ParameterSpec[]): ParameterSpec[] =>
    keepsAdded(plan, at) ? specs.map((spec) => ({ ...spec, trains: false })) : [...specs];
  return [
    matrix(names.tasks, [context.tasks, d], NORMAL),
    ...(config.conditional_alignment ? generator(plan, names.alignment, 2 * d) : []),
    ...(usesTransformation(plan) ? transformation(plan, names) : []),
    ...(config.conditional_attention ? all.flatMap((layer) => attention(plan, names, layer, inside)) : []),
    ...conditioned.flatMap((layer) =>
      PLACES.flatMap((place) => inside({ layer, published: true }, generator(plan, names.gain(normPath(context, place, layer)), 2 * d))),
    ),
    ...bottlenecks.flatMap((layer) =>
      // The rungs of a ladder lie beside the layers; base's bottleneck lies in its top layer.
      config.variant === 'base' ? inside({ layer, published: true }, bottleneck(plan, names, layer)) : bottleneck(plan, names, layer),
    ),
    ...(config.conditional_bottleneck && config.variant === 'base'
      ? inside({ layer: layers - 1, published: true }, topNorm(plan, names))
      : []),
  ];
}

/** Whether anything reads z'. */
export function usesTransformation({ config }: CaMtlPlan): boolean {
  return config.task_transformation && (config.conditional_attention || config.conditional_layer_norm || config.conditional_bottleneck);
}

function matrix(name: string, shape: readonly number[], init: Initializer): ParameterSpec {
  return { name: `${name}.weight`, shape, init, decay: true };
}

function linear(name: string, shape: readonly [number, number], init: Initializer): ParameterSpec[] {
  return [matrix(name, shape, init), { name: `${name}.bias`, shape: [shape[0]], init: ZERO, decay: false }];
}

/** W [rows, d] with its bias; in two pieces where that is fewer numbers. Starts at zero for the pretrained function. */
function generator({ config, context }: CaMtlPlan, name: string, rows: number, init = config.start === 'pretrained' ? ZERO : NORMAL) {
  const { generator_rank: rank } = config;
  const d = context.encoder.hidden;
  if (rank === null || rank * (rows + d) >= rows * d) return linear(name, [rows, d], init);
  return [matrix(`${name}.down`, [rank, d], { kind: 'fan-in-uniform', fanIn: d }), ...linear(`${name}.up`, [rows, rank], init)];
}

function transformation({ context }: CaMtlPlan, names: CaMtlNames): ParameterSpec[] {
  const d = context.encoder.hidden;
  return linear(names.transformation, [d, d], NORMAL);
}

function attention(
  plan: CaMtlPlan,
  names: CaMtlNames,
  layer: number,
  inside: (at: Inside, specs: readonly ParameterSpec[]) => ParameterSpec[],
): ParameterSpec[] {
  const shape = [plan.config.max_length, plan.blockWidth];
  return [
    ...inside({ layer, published: true }, [{ name: names.matrix(layer), shape, init: ZERO, decay: true }]),
    ...inside({ layer, published: false }, generator(plan, names.attention(layer), 2 * plan.blockWidth)),
  ];
}

function bottleneck(plan: CaMtlPlan, names: CaMtlNames, layer: number): ParameterSpec[] {
  const { config, context, bottleneckWidth: r } = plan;
  const { hidden: d, layers } = context.encoder;
  const name = names.bottleneckAt(layer);
  // The one whose output reaches the encoder's starts silent; the others may speak, or nothing would move below it.
  const silent = config.start === 'pretrained' && layer === layers - 1;
  return [
    ...generator(plan, `${name}.emb_transf`, d, NORMAL),
    ...generator(plan, `${name}.hidden_modulation.gb_weights`, 2 * d, NORMAL),
    ...linear(`${name}.down_proj_layer`, [r, d], NORMAL),
    ...linear(`${name}.up_proj_layer`, [d, r], silent ? ZERO : NORMAL),
  ];
}

/** For a pretrained start the third norm begins as the top layer's second. */
function topNorm(plan: CaMtlPlan, names: CaMtlNames): ParameterSpec[] {
  const { hidden: d, layers } = plan.context.encoder;
  const second = normPath(plan.context, 'output', layers - 1);
  const init = (part: string, fresh: Initializer) => (plan.config.start === 'pretrained' ? copyOf(`${second}.${part}`) : fresh);
  return [
    { name: `${names.topNorm}.weight`, shape: [d], init: init('weight', ONE), decay: false },
    { name: `${names.topNorm}.bias`, shape: [d], init: init('bias', ZERO), decay: false },
    ...(plan.config.conditional_layer_norm ? generator(plan, names.gain(names.topNorm), 2 * d) : []),
  ];
}
