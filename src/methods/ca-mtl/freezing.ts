import { type CaMtlPlan, frozenLayers } from './config.ts';
import { caMtlNames } from './names.ts';

/**
 * Which tensors keep their values, as a test of full names: of the encoder's (pooler included) and of CA-MTL's own (`owns`).
 *
 * The paper: the lower layers and the embeddings are frozen, and the conditional modules inside them train. The published
 * code's "a-b": layers a to b and the embeddings; inside those layers its filter lets train A of conditional attention, the
 * generators of norms, and all of base's bottleneck with its norm, but neither the FiLM of conditional attention nor the
 * gains and biases of the norms.
 */
export function frozenBy(plan: CaMtlPlan, owns: (name: string) => boolean): (name: string) => boolean {
  const { config, context, plainLayers } = plan;
  const { family, encoder } = context;
  const names = caMtlNames(context, config.variant);
  const paths = Array.from({ length: encoder.layers }, (_, layer) => `${names.layer(layer)}.`);
  const layerOf = (name: string) => paths.findIndex((path) => name.startsWith(path));
  const pooler = `${family.prefix}${family.names.pooler}.`;
  const embeds = (name: string) => name.startsWith(family.prefix) && !owns(name) && layerOf(name) < 0 && !name.startsWith(pooler);

  const { freeze } = config;
  const [first, last] = freeze === 'half' ? [0, plainLayers - 1] : (frozenLayers(freeze) ?? [0, -1]);
  const inside = (name: string) => layerOf(name) >= first && layerOf(name) <= last;
  if (typeof freeze === 'string' && freeze !== 'half') {
    const passes = (name: string) => /\.random_weight_matrix$|\.ln_weight_modulation\.|\.adapter\./.test(name);
    return (name) => embeds(name) || (inside(name) && !passes(name));
  }
  return (name) => last >= 0 && !owns(name) && (embeds(name) || inside(name));
}
