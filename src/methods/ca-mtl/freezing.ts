import type { EncoderSpec } from '../../encoders/index.ts';
import { type CaMtlPlan, frozenLayers } from './config.ts';

/**
 * Which tensors keep their values.
 *
 * The paper: the lower layers and the embeddings are frozen, and the conditional modules inside them train. The published
 * code's "a-b": layers a to b and the embeddings; inside those layers its filter lets train A of conditional attention, the
 * generators of norms, and all of base's bottleneck with its norm, but neither the FiLM of conditional attention nor the
 * gains and biases of the norms.
 */
export function keepsEncoder(plan: CaMtlPlan, { part }: Pick<EncoderSpec, 'part'>): boolean {
  const [first, last] = layersOf(plan);
  if (part === 'pooler') return false;
  const embeddings = typeof part === 'string';
  return embeddings ? last >= 0 || isRange(plan) : part >= first && part <= last;
}

/** Where a tensor of CA-MTL's own lies: in a layer of the encoder, and whether the published filter lets it train there. */
export interface Inside {
  readonly layer: number;
  readonly published: boolean;
}

/** Whether a tensor that CA-MTL adds inside a layer keeps its value. */
export function keepsAdded(plan: CaMtlPlan, { layer, published }: Inside): boolean {
  const [first, last] = layersOf(plan);
  return isRange(plan) && !published && layer >= first && layer <= last;
}

function isRange({ config: { freeze } }: CaMtlPlan): boolean {
  return typeof freeze === 'string' && freeze !== 'half';
}

function layersOf({ config: { freeze }, plainLayers }: CaMtlPlan): readonly [number, number] {
  return freeze === 'half' ? [0, plainLayers - 1] : (frozenLayers(freeze) ?? [0, -1]);
}
