import { type Initializer, NORMAL, ONE, type ParameterSpec, ZERO } from '../../nn/index.ts';
import { PLACES } from '../method.ts';
import type { CaMtlPlan } from './config.ts';
import { type CaMtlNames, caMtlNames } from './names.ts';

/** Every tensor that CA-MTL adds to the encoder, those that its freezing leaves untrained too. */
export function caMtlParameters(plan: CaMtlPlan): ParameterSpec[] {
  const { config, context, plainLayers } = plan;
  const { hidden: d, layers } = context.encoder;
  const names = caMtlNames(context, config.variant);
  const all = Array.from({ length: layers }, (_, i) => i);
  const bottlenecks = !config.conditional_bottleneck ? [] : config.variant === 'base' ? [layers - 1] : all;
  const conditioned = config.conditional_layer_norm ? all.slice(plainLayers) : [];
  return [
    matrix(names.tasks, [context.tasks, d], NORMAL),
    ...(config.conditional_alignment ? generator(plan, names.alignment, 2 * d) : []),
    ...(usesTransformation(plan) ? transformation(plan, names) : []),
    ...(config.conditional_attention ? all.flatMap((layer) => attention(plan, names, layer)) : []),
    ...conditioned.flatMap((layer) => PLACES.flatMap((place) => generator(plan, names.gain(layer, place), 2 * d))),
    ...bottlenecks.flatMap((layer) => bottleneck(plan, names, layer)),
    ...(config.conditional_bottleneck && config.variant === 'base' ? topNorm(plan, names) : []),
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

function attention(plan: CaMtlPlan, names: CaMtlNames, layer: number): ParameterSpec[] {
  const shape = [plan.config.max_length, plan.blockWidth];
  return [{ name: names.matrix(layer), shape, init: ZERO, decay: true }, ...generator(plan, names.attention(layer), 2 * plan.blockWidth)];
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

function topNorm(plan: CaMtlPlan, names: CaMtlNames): ParameterSpec[] {
  const d = plan.context.encoder.hidden;
  return [
    { name: `${names.topNorm}.weight`, shape: [d], init: ONE, decay: false },
    { name: `${names.topNorm}.bias`, shape: [d], init: ZERO, decay: false },
    ...(plan.config.conditional_layer_norm ? generator(plan, `${names.topNorm}.ln_weight_modulation.gb_weights`, 2 * d) : []),
  ];
}
