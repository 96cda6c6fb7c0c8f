import type { Tensor } from '../base/tensor.ts';
import { type DrawingOptions, drawEncoder, drawPooled, type Encoder, type EncoderWeight, firstTokens } from '../encoders/index.ts';
import { input, type Value } from '../graph/index.ts';
import type { Attachment } from '../methods/index.ts';
import { type Dropout, type Initializer, type ParameterSpec, recordedParameters } from '../nn/index.ts';
import { drawLogits, type Head, headParameters, readsOf } from '../objectives/index.ts';
import { ParameterStore } from '../update/index.ts';
import { encoderParameters, requirePooler } from './model.ts';

/** One encoder with what is attached to it, and a head for each task; a row's task id says which head answers it. */
export interface MultiTaskModel {
  readonly encoder: Encoder;
  readonly attachment: Attachment;
  /** By task id. */
  readonly heads: readonly Head[];
}

/** What trains: encoder weights that the attachment lets train, the attachment's parameters, and those of all heads. */
export function multiTaskParameters({ encoder, attachment, heads }: MultiTaskModel): ParameterSpec[] {
  const usesPooler = heads.some(({ config }) => config.use_pooler);
  return [
    ...encoderParameters({ encoder, attachment }, usesPooler),
    ...attachment.parameters,
    ...heads.flatMap((head) => headParameters(head, encoder.config.hidden)),
  ];
}

/**
 * First values of all that trains, and of what does not and is not the checkpoint's: tensors by full name. What is neither
 * in the checkpoint nor a copy is drawn from `seed`.
 */
export async function multiTaskStart(model: MultiTaskModel, seed: number): Promise<Map<string, Tensor>> {
  const { weights } = model.encoder;
  const { anew = new Map<string, Initializer>(), copies = new Map<string, string>(), frozen = [] } = model.attachment.start ?? {};
  const specs = multiTaskParameters(model).map((spec) => ({ ...spec, init: anew.get(spec.name) ?? spec.init }));
  const trained = new Set(specs.map(({ name }) => name));
  const untrained = [...anew].filter(([name]) => !trained.has(name));
  const shapeOf = (name: string) => (weights.get(name) as EncoderWeight).shape;
  const store = new ParameterStore([
    ...specs,
    ...frozen,
    ...untrained.map(([name, init]) => ({ name, shape: shapeOf(name), init, decay: false })),
  ]);
  store.initialize(seed);
  for (const { name } of store.specs) {
    const source = copies.get(name) ?? (anew.has(name) ? undefined : name);
    const own = source === undefined ? undefined : weights.get(source);
    if (own) store.set(name, (await own.read()).data as Float32Array);
  }
  return new Map(store.values());
}

export interface MultiTaskDrawing {
  /** By task, for all sequences [B, outputs] or tokens [B·S, outputs] of the batch; one number per sequence for choices. */
  readonly logits: readonly Value[];
  /** Embeddings' and layers' outputs, what heads read, and the pooled vector [B, hidden] where a head reads it. */
  readonly hiddenStates: readonly Value[];
  readonly output: Value;
  readonly pooled: Value | undefined;
  /** The input [B] int32 that says which task each sequence belongs to. */
  readonly taskIds: Value;
  /** The values of trainable parameters that the program reads, by name. */
  readonly trainable: ReadonlyMap<string, Value>;
}

/** Draws encoder, attachment and all heads over a batch of 'B' sequences of any tasks. `trainable` names are inputs of the program. */
export function drawMultiTask(
  { encoder, attachment, heads }: MultiTaskModel,
  dropout: Dropout,
  trainable: (name: string) => boolean,
  { read = readsAll(attachment, heads) }: { readonly read?: DrawingOptions['read'] } = {},
): MultiTaskDrawing {
  const { get: record, read: seen } = recordedParameters(trainable);
  const graft = attachment.graft(record, dropout);
  const options: DrawingOptions = { config: encoder.config, family: encoder.family, parameters: record, dropout, graft, read };
  const { output, rows, hiddenStates } = drawEncoder(options);
  const first = firstTokens(output, rows);
  const pooled = heads.some(({ config }) => config.use_pooler) ? drawPooled(options, first) : undefined;
  const logits = heads.map((head) => {
    const { use_pooler: usesPooler, dropout_prob: own } = head.config;
    if (usesPooler) requirePooler(encoder, head);
    const vector = usesPooler ? (pooled as Value) : readsOf(head) === 'first' ? first : output;
    const p = own ?? encoder.config.classifierDropout ?? encoder.config.hiddenDropout;
    return drawLogits(perSequence(head), vector, record, dropout, p);
  });
  const taskIds = attachment.taskIds ?? input('taskIds', 'int32', ['B']);
  return { logits, taskIds, hiddenStates, output, pooled, trainable: seen };
}

/** Whether tasks can be added to a model once it is trained: to CA-MTL. */
export function canGrow({ attachment }: MultiTaskModel): boolean {
  return attachment.taskIds !== undefined;
}

function readsAll({ mixesTokens }: Attachment, heads: readonly Head[]): DrawingOptions['read'] {
  return mixesTokens || heads.some((head) => readsOf(head) === 'all') ? 'all' : 'first';
}

/** In a batch of several tasks the sequences of a choice row need not lie together: the loss puts their scores together. */
function perSequence(head: Head): Head {
  const { head_type: type } = head.config;
  return type === 'multiple_choice' ? { ...head, config: { ...head.config, head_type: 'classification', num_labels: 1 } } : head;
}
