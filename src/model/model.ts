import { fail } from '../base/errors.ts';
import { float32, type Tensor } from '../base/tensor.ts';
import { type DrawingOptions, drawEncoder, drawPooled, type Encoder, encoderShapes, firstTokens } from '../encoders/index.ts';
import type { Value } from '../graph/index.ts';
import { type Attachment, attach, type ConfiguredMethod } from '../methods/index.ts';
import { type Dropout, type ParameterSpec, recordedParameters } from '../nn/index.ts';
import { batchOf, drawLogits, type Head, headParameters, readsOf } from '../objectives/index.ts';
import type { FileWeight } from '../session/session.ts';

/** An encoder with what is attached to it, and one head. */
export interface Model {
  readonly encoder: Encoder;
  readonly attachment: Attachment;
  readonly head: Head;
  /** Tensors that the attachment reads and that do not train: the adapters of a fusion. */
  readonly frozen?: ReadonlyMap<string, Tensor>;
  /** What training holds logits against: the labels of rows, or a teacher's logits. */
  readonly objective?: 'labels' | 'logits';
}

/** An encoder with one method attached under a name. @throws method.config, method.site */
export function adapterModel(encoder: Encoder, method: ConfiguredMethod, name: string, head: Head): Model {
  return { encoder, attachment: attach(method, { encoder: encoder.config, family: encoder.family, name }), head };
}

/** What trains: the attachment's parameters, the head's, and the encoder's own where the attachment says so. */
export function trainableParameters(model: Model): ParameterSpec[] {
  const { attachment, head, encoder } = model;
  return [...encoderParameters(model, head.config.use_pooler), ...attachment.parameters, ...headParameters(head, encoder.config.hidden)];
}

/** The encoder's weights that train, as parameters; their first values come from the checkpoint. */
export function encoderParameters({ encoder, attachment }: Pick<Model, 'encoder' | 'attachment'>, usesPooler: boolean): ParameterSpec[] {
  const { family, config } = encoder;
  const { trainsEncoder } = attachment;
  if (trainsEncoder === false) return [];
  const pooler = `${family.prefix}${family.names.pooler}.`;
  return [...encoderShapes(family, config)]
    .filter(([name]) => (usesPooler || !name.startsWith(pooler)) && (trainsEncoder === true || trainsEncoder(name)))
    .map(([name, shape]) => ({ name, shape, init: { kind: 'constant', value: 0 }, decay: !/bias$|LayerNorm|layer_norm/.test(name) }));
}

/** [rows, columns] with the names of the columns. */
export interface Observed {
  readonly value: Value;
  readonly columns: readonly string[];
}

export interface Drawing {
  readonly logits: Value;
  /** A scalar to be made small beside the loss. */
  readonly regularizer: Value | undefined;
  /** [B, S]: 1 for real tokens, 0 for pads. */
  readonly mask: Value;
  /** What the attachment lets one look at, by name: a row a token. */
  readonly observed: ReadonlyMap<string, Observed>;
  /** The values of trainable parameters that the program reads, by name. */
  readonly trainable: ReadonlyMap<string, Value>;
}

/**
 * Draws the forward pass: encoder, method, head. `trainable` names are inputs of the program, all others frozen weights.
 * @throws head.config for a head that reads the pooler of an encoder without one
 */
export function drawModel(
  { encoder, attachment, head }: Model,
  dropout: Dropout,
  trainable: (name: string) => boolean,
  { read = attachment.mixesTokens ? 'all' : readsOf(head) }: { readonly read?: DrawingOptions['read'] } = {},
): Drawing {
  const { get: record, read: seen } = recordedParameters(trainable);
  const observed = new Map<string, Observed>();
  const graft = attachment.graft(record, dropout, (name, value, columns = []) => void observed.set(name, { value, columns }));
  const options: DrawingOptions = {
    config: encoder.config,
    family: encoder.family,
    parameters: record,
    dropout,
    graft,
    read,
    batch: batchOf(head),
  };
  const { output, rows, mask } = drawEncoder(options);
  const { head_type: _type, use_pooler: usePooler, dropout_prob: own } = head.config;
  if (usePooler) requirePooler(encoder, head);
  const first = readsOf(head) === 'first' ? firstTokens(output, rows) : output;
  const vector = usePooler ? drawPooled(options, first) : first;
  const p = own ?? encoder.config.classifierDropout ?? encoder.config.hiddenDropout;
  const logits = drawLogits(head, vector, record, dropout, p);
  return { logits, regularizer: attachment.regularizer?.(record), observed, mask, trainable: seen };
}

/** @throws head.config for a head that reads the pooler of an encoder without one */
export function requirePooler({ name, family, weights }: Encoder, head: Head): void {
  if (!weights.has(`${family.prefix}${family.names.pooler}.weight`))
    fail({
      code: 'head.config',
      subject: `head '${head.name}': key 'use_pooler'`,
      found: 'true',
      expected: `false: the encoder ${name} has no pooler`,
      next: 'Make a head that reads the first token, or take a checkpoint with its pooler.',
    });
}

/** The frozen weights of a model, with more tensors beside them. */
export function weightsOf(
  { encoder, frozen = new Map() }: Pick<Model, 'encoder' | 'frozen'>,
  more: ReadonlyMap<string, Tensor> = new Map(),
): Map<string, Tensor | FileWeight> {
  return new Map<string, Tensor | FileWeight>([...encoder.weights, ...frozen, ...more]);
}

/** The scalar inputs that change while training goes on, as they are after `steps` steps. */
export function scheduledFeeds({ attachment }: Model, steps: number): Record<string, Tensor> {
  return Object.fromEntries(Object.entries(attachment.schedule?.(steps) ?? {}).map(([name, value]) => [name, float32([], [value])]));
}
