import { encoderShapes, type NormPlace } from '../../encoders/index.ts';
import { input, type Value } from '../../graph/index.ts';
import { NORMAL, ONE, ZERO } from '../../nn/index.ts';
import type { Attachment, AttachmentStart } from '../attachment.ts';
import { PLACES } from '../method.ts';
import { type CaMtlConfig, type CaMtlContext, type CaMtlPlan, planCaMtl } from './config.ts';
import { frozenBy } from './freezing.ts';
import { type CaMtlParts, graftCaMtl } from './graft.ts';
import { caMtlNames } from './names.ts';
import { caMtlParameters } from './parameters.ts';

/** CA-MTL on an encoder. `parameters` are those of its own that train; of the encoder trains what `freezes` does not name. */
export interface CaMtlAttachment extends Attachment, CaMtlParts {
  readonly taskIds: Value;
  /** Whether a tensor of the encoder or of its own keeps its value. */
  freezes(name: string): boolean;
  readonly start: AttachmentStart;
}

/**
 * On eight tasks in 500 steps base was as good with two and three times of it, and worse with a half and a fifth, the published rate,
 * which is for tens of thousands of steps (docs/experiments/ca-mtl.md, last table); large was as good as base with it.
 */
const LEARNING_RATE = 1e-4;

/** @throws method.site, method.config */
export function attachCaMtl(config: CaMtlConfig, context: CaMtlContext): CaMtlAttachment {
  const plan = planCaMtl(config, context);
  const added = caMtlParameters(plan);
  const own = new Set(added.map(({ name }) => name));
  const parts = { plan, added, taskIds: input('taskIds', 'int32', ['B']) };
  const freezes = frozenBy(plan, (name) => own.has(name));
  return {
    name: config.architecture,
    text: `${config.architecture} (${config.variant})`,
    learningRate: LEARNING_RATE,
    trainsEncoder: (weight) => !freezes(weight),
    mixesTokens: false,
    mostTokens: config.max_length,
    parameters: added.filter(({ name }) => !freezes(name)),
    graft: (parameters) => graftCaMtl(parts, parameters),
    ...parts,
    freezes,
    start: { ...firstValues(plan), frozen: added.filter(({ name }) => freezes(name)) },
  };
}

/** As published, the top layer of base is not loaded; for a pretrained start its third norm begins as its second. */
function firstValues({ config, context }: CaMtlPlan): Omit<AttachmentStart, 'frozen'> {
  const { encoder, family } = context;
  const top = encoder.layers - 1;
  const names = caMtlNames(context, config.variant);
  const norm = (place: NormPlace) => family.prefix + family.names.norm(top, place);
  if (config.variant !== 'base' || !config.conditional_bottleneck) return { anew: new Map(), copies: new Map() };
  if (config.start === 'pretrained') {
    const copies = ['weight', 'bias'].map((part) => [`${names.topNorm}.${part}`, `${norm('output')}.${part}`] as const);
    return { anew: new Map(), copies: new Map(copies) };
  }
  const gains = PLACES.map((place) => `${norm(place)}.weight`);
  const init = (name: string) => (gains.includes(name) ? ONE : name.endsWith('.bias') ? ZERO : NORMAL);
  const weights = [...encoderShapes(family, encoder).keys()].filter((name) => name.startsWith(`${names.layer(top)}.`));
  return { anew: new Map(weights.map((name) => [name, init(name)])), copies: new Map() };
}
