import { totalElements } from '../../base/index.ts';
import { encoderSpecs } from '../../encoders/index.ts';
import type { ParameterSpec } from '../../nn/index.ts';
import type { CaMtlAttachment } from './attach.ts';
import { caMtlNames } from './names.ts';

/** Counts of numbers: those there are, and those that train. */
export interface Count {
  readonly all: number;
  readonly trained: number;
}

export interface CaMtlReport {
  readonly total: Count;
  /** The encoder with its pooler, each kind of module, and the heads; they add up to the total. */
  readonly parts: Readonly<Record<CaMtlPart, Count>>;
  /** All numbers against those of one encoder: single-task fine-tuning needs one such encoder for each task. */
  readonly againstOneEncoder: number;
  readonly againstSingleTask: number;
  /** The part of the encoder's numbers that stays as it was. */
  readonly frozenShare: number;
}

export const CA_MTL_PARTS = [
  'encoder',
  'taskEmbeddings',
  'conditionalAlignment',
  'taskTransformation',
  'conditionalAttention',
  'conditionalLayerNorm',
  'conditionalBottleneck',
  'heads',
] as const;
export type CaMtlPart = (typeof CA_MTL_PARTS)[number];

/** Where a checkpoint is at hand: the tensors that it has, and whether one trains, which a pooler that no head reads does not. */
interface CountedModel {
  readonly weights: ReadonlyMap<string, { readonly shape: readonly number[] }>;
  readonly trains: (name: string) => boolean;
}

/** Counts a model of one encoder, CA-MTL and the heads' parameters; without `model`, that of a complete encoder with a pooler. */
export function caMtlReport({ plan, added, freezes }: CaMtlAttachment, heads: readonly ParameterSpec[], model?: CountedModel): CaMtlReport {
  const { config, context } = plan;
  const weights = model ? [...model.weights].map(([name, { shape }]) => ({ name, shape })) : encoderSpecs(context.family, context.encoder);
  const trains = model?.trains ?? ((name: string) => !freezes(name));
  const names = caMtlNames(context, config.variant);
  const partOf = (name: string): CaMtlPart => {
    if (name.startsWith(`${names.tasks}.`)) return 'taskEmbeddings';
    if (name.startsWith(`${names.alignment}.`)) return 'conditionalAlignment';
    if (name.startsWith(`${names.transformation}.`)) return 'taskTransformation';
    if (name.startsWith(names.topNorm) || name.includes('.ln_weight_modulation.')) return 'conditionalLayerNorm';
    return name.includes('.random_weight_matrix') || name.includes('.cond_block_diag_attn.')
      ? 'conditionalAttention'
      : 'conditionalBottleneck';
  };
  const counted = CA_MTL_PARTS.map((part) => {
    const tensors = part === 'encoder' ? weights : part === 'heads' ? heads : added.filter(({ name }) => partOf(name) === part);
    return [part, count(tensors, trains)] as const;
  });
  const parts = Object.fromEntries(counted) as Record<CaMtlPart, Count>;
  const sum = (which: keyof Count) => counted.reduce((total, [, one]) => total + one[which], 0);
  const total = { all: sum('all'), trained: sum('trained') };
  return {
    total,
    parts,
    againstOneEncoder: total.all / parts.encoder.all,
    againstSingleTask: total.all / (parts.encoder.all * context.tasks),
    frozenShare: 1 - parts.encoder.trained / parts.encoder.all,
  };
}

function count(tensors: readonly { readonly name: string; readonly shape: readonly number[] }[], trains: (name: string) => boolean): Count {
  return { all: totalElements(tensors), trained: totalElements(tensors.filter(({ name }) => trains(name))) };
}
