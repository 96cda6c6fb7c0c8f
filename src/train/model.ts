import { fail } from '../base/errors.ts';
import type { Tensor } from '../base/tensor.ts';
import { type DrawingOptions, drawEncoder, drawPooled, type Encoder, encoderShapes, firstTokens } from '../encoders/index.ts';
import type { Value } from '../graph/index.ts';
import type { ConfiguredMethod, MethodContext } from '../methods/index.ts';
import { type Dropout, type ParameterSpec, parameters } from '../nn/index.ts';
import { batchOf, drawLogits, type Head, headParameters, readsOf } from '../objectives/index.ts';
import type { FileWeight } from '../session/session.ts';

/** An encoder with one method attached under a name, and one head. */
export interface Model {
  readonly encoder: Encoder;
  readonly method: ConfiguredMethod;
  readonly adapter: string;
  readonly head: Head;
}

function contextOf({ encoder, adapter }: Model): MethodContext {
  return { encoder: encoder.config, family: encoder.family, name: adapter };
}

/** What trains: the method's parameters, the head's, and the encoder's own where the method says so. */
export function trainableParameters(model: Model): ParameterSpec[] {
  const { method, config } = model.method;
  return [
    ...(method.trainsEncoder ? encoderParameters(model) : []),
    ...method.parameters(config, contextOf(model)),
    ...headParameters(model.head, model.encoder.config.hidden),
  ];
}

/** The encoder's weights that the head's output depends on, as parameters; their first values come from the checkpoint. */
function encoderParameters({ encoder: { family, config }, head }: Model): ParameterSpec[] {
  const pooler = `${family.prefix}${family.names.pooler}.`;
  return [...encoderShapes(family, config)]
    .filter(([name]) => head.config.use_pooler || !name.startsWith(pooler))
    .map(([name, shape]) => ({ name, shape, init: { kind: 'constant', value: 0 }, decay: !/bias$|LayerNorm|layer_norm/.test(name) }));
}

export interface Drawing {
  readonly logits: Value;
  /** The values of trainable parameters that the program reads, by name. */
  readonly trainable: ReadonlyMap<string, Value>;
}

/**
 * Draws the forward pass: encoder, method, head. `trainable` names are inputs of the program, all others frozen weights.
 * @throws head.config for a head that reads the pooler of an encoder without one
 */
export function drawModel(model: Model, dropout: Dropout, trainable: (name: string) => boolean): Drawing {
  const {
    encoder,
    method: { method, config },
    head,
  } = model;
  const resolve = parameters(trainable);
  const seen = new Map<string, Value>();
  const record: typeof resolve = (name, shape) => {
    const value = resolve(name, shape);
    if (trainable(name)) seen.set(name, value);
    return value;
  };
  const graft = method.graft(config, contextOf(model), record, dropout);
  const read = method.mixesTokens(config) ? 'all' : readsOf(head);
  const options: DrawingOptions = {
    config: encoder.config,
    family: encoder.family,
    parameters: record,
    dropout,
    graft,
    read,
    batch: batchOf(head),
  };
  const { output, rows } = drawEncoder(options);
  const { head_type: _type, use_pooler: usePooler, dropout_prob: own } = head.config;
  if (usePooler) requirePooler(model);
  const first = readsOf(head) === 'first' ? firstTokens(output, rows) : output;
  const vector = usePooler ? drawPooled(options, first) : first;
  const p = own ?? encoder.config.classifierDropout ?? encoder.config.hiddenDropout;
  return { logits: drawLogits(head, vector, record, dropout, p), trainable: seen };
}

function requirePooler({ head, encoder: { name, family, weights } }: Model): void {
  if (!weights.has(`${family.prefix}${family.names.pooler}.weight`))
    fail({
      code: 'head.config',
      subject: `head '${head.name}': key 'use_pooler'`,
      found: 'true',
      expected: `false: the encoder ${name} has no pooler`,
      next: 'Make a head that reads the first token, or take a checkpoint with its pooler.',
    });
}

/** The encoder's frozen weights with more tensors beside them. */
export function weightsOf(encoder: Encoder, more: ReadonlyMap<string, Tensor> = new Map()): Map<string, Tensor | FileWeight> {
  return new Map<string, Tensor | FileWeight>([...encoder.weights, ...more]);
}
