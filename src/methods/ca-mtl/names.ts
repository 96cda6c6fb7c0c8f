import { fail } from '../../base/index.ts';
import { linearPath, type Place } from '../../encoders/index.ts';
import type { CaMtlContext } from './config.ts';

/** Full names of CA-MTL's modules, without `.weight` and `.bias`: those of the published code, with each family's own layers. */
export interface CaMtlNames {
  readonly tasks: string;
  readonly alignment: string;
  readonly transformation: string;
  /** A of conditional attention (a bare tensor), and its FiLM. */
  readonly matrix: (layer: number) => string;
  readonly attention: (layer: number) => string;
  /** The FiLM of a norm's gain, by the norm's full name. */
  readonly gain: (norm: string) => string;
  /** The bottleneck beside a layer: in the base variant its top layer's, in the large one a rung of the ladder. */
  readonly bottleneckAt: (layer: number) => string;
  /** The third norm of base's top layer. */
  readonly topNorm: string;
}

export function caMtlNames({ encoder, family }: CaMtlContext, variant: 'base' | 'large'): CaMtlNames {
  const path = (layer: number, linear: 'query' | 'output') => linearPath(family, linear, layer);
  const layerPath = (layer: number) => shared(path(layer, 'query'), path(layer, 'output'));
  const root = family.prefix + (path(0, 'query').slice(family.prefix.length).split('.')[0] as string);
  const attention = (layer: number) => path(layer, 'query').split('.').slice(0, -1).join('.');
  const top = `${layerPath(encoder.layers - 1)}.adapter`;
  return {
    tasks: `${family.prefix}task_type_embeddings`,
    alignment: `${family.prefix}conditional_alignment.gb_weights`,
    transformation: `${root}.task_transformation`,
    matrix: (layer) => `${attention(layer)}.random_weight_matrix`,
    attention: (layer) => `${attention(layer)}.cond_block_diag_attn.gb_weights`,
    gain: (norm) => `${norm}.ln_weight_modulation.gb_weights`,
    bottleneckAt: (layer) => (variant === 'base' ? `${top}.bottleneck` : `${root}.adapter_layer.${layer}`),
    topNorm: `${top}.condlayernorm`,
  };
}

/** Full name of the norm after a sub-block. @throws method.site for a family without one there */
export function normPath({ family }: CaMtlContext, place: Place, layer: number): string {
  const path = family.normPath(place, layer);
  if (path !== undefined) return family.prefix + path;
  return fail({
    code: 'method.site',
    subject: 'CA-MTL',
    found: `no norm after the ${place === 'attention' ? 'attention' : 'feed-forward'} of ${family.name}`,
    expected: 'an encoder with a norm after each sub-block',
    next: 'Take an encoder of another family.',
  });
}

/** The parts that two dotted names have in common at their beginning. */
function shared(a: string, b: string): string {
  const [left, right] = [a.split('.'), b.split('.')];
  const end = left.findIndex((part, i) => part !== right[i]);
  return left.slice(0, end).join('.');
}

/**
 * Our name of a tensor of the published code. It calls the three blocks of base's top layer `new_attention`,
 * `new_intermediate` and `new_output`, and the linear of task t `decoders.t.model`; `head` names that linear here.
 */
export function fromPublishedName(name: string, head: (task: number) => string): string {
  const decoder = /^decoders\.(\d+)\.model\.(.*)$/.exec(name);
  if (decoder) return `${head(Number(decoder[1]))}.${decoder[2]}`;
  return name.replace(/(\.layer\.\d+\.)new_(attention|intermediate|output)\./, '$1$2.');
}

/** Whether a tensor of a model's file, by our name or the published one, is CA-MTL's own rather than the encoder's. */
export function isCaMtlName(name: string): boolean {
  return /task_type_embeddings|task_transformation|conditional_alignment|cond_block_diag_attn|random_weight_matrix|ln_weight_modulation|\.adapter(_layer)?\./.test(
    name,
  );
}
