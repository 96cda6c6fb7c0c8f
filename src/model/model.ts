import { float32, type Tensor } from '../base/index.ts';
import { type Encoder, encoderSpecs, poolerPath } from '../encoders/index.ts';
import { type Attachment, attach, type ConfiguredMethod, encoderFacts, trained } from '../methods/index.ts';
import type { ParameterSpec } from '../nn/index.ts';
import { type Head, headParameters, type Objective } from '../objectives/index.ts';
import type { FileWeight } from '../session/session.ts';

/** An encoder with what is attached to it, and its heads: one for each task. */
export interface Model {
  readonly encoder: Encoder;
  readonly attachment: Attachment;
  readonly heads: readonly Head[];
  /** Tensors that the attachment reads and that do not train: the adapters of a fusion. They go before the encoder's of their names. */
  readonly frozen?: ReadonlyMap<string, Tensor>;
  /** What training holds logits against: the labels of rows, where nothing else is said. */
  readonly objective?: Objective;
}

/** An encoder with one method attached under a name, and one head. @throws method.config, method.site */
export function adapterModel(encoder: Encoder, method: ConfiguredMethod, name: string, head: Head): Model {
  return { encoder, attachment: attach(method, { ...encoderFacts(encoder), name }), heads: [head] };
}

/** What trains: the encoder's own weights where the attachment says so, the attachment's parameters, and those of all heads. */
export function trainableParameters({ encoder, attachment, heads }: Model): ParameterSpec[] {
  return [
    ...encoderParameters({ encoder, attachment, heads }),
    ...trained(attachment),
    ...heads.flatMap((head) => headParameters(head, encoder.config)),
  ];
}

/** The encoder's weights that train; their first values come from the checkpoint. A pooler that no head reads does not. */
function encoderParameters({ encoder, attachment, heads }: Model): ParameterSpec[] {
  const { trainsEncoder } = attachment;
  if (trainsEncoder === false) return [];
  const usesPooler = heads.some((head) => head.config.use_pooler);
  return encoderSpecs(encoder.family, encoder.config).filter(
    ({ name, part }) => (usesPooler || part !== 'pooler') && (trainsEncoder === true || trainsEncoder(name)),
  );
}

/** Whether an encoder has a pooler: its family does, and its checkpoint. */
export function hasPooler({ family, weights }: Pick<Encoder, 'family' | 'weights'>): boolean {
  return weights.has(`${poolerPath(family)}.weight`);
}

/** The frozen weights of a model, with more tensors beside them; of equal names the later. */
export function weightsOf(
  { encoder, frozen = new Map() }: Pick<Model, 'encoder' | 'frozen'>,
  more: ReadonlyMap<string, Tensor> = new Map(),
): Map<string, Tensor | FileWeight> {
  return new Map<string, Tensor | FileWeight>([...encoder.weights, ...frozen, ...more]);
}

/** The scalar inputs that change while training goes on, as they are after `steps` steps. */
export function scheduledFeeds({ attachment }: Pick<Model, 'attachment'>, steps: number): Record<string, Tensor> {
  return Object.fromEntries(Object.entries(attachment.schedule?.(steps) ?? {}).map(([name, value]) => [name, float32([], [value])]));
}
