import { fail } from '../base/index.ts';
import { type DrawingOptions, drawEncoder, drawPooled, drawWordScores, type Encoder, type Hooks } from '../encoders/index.ts';
import { type Dim, multiplyDims, slice, type Value } from '../graph/index.ts';
import type { Attachment } from '../methods/index.ts';
import { type Dropout, noDropout, type Parameters, pooledTokens, recordedParameters } from '../nn/index.ts';
import { type Head, type HeadDrawing, headInputs, readsTokens } from '../objectives/index.ts';
import { hasPooler, type Model } from './model.ts';

/** [rows, columns] with the names of the columns. */
export interface Observed {
  readonly value: Value;
  readonly columns: readonly string[];
}

export interface Drawing {
  /** By head: [n, outputs] for all sequences or tokens of the run, or for the rows that the kind of head gathers. */
  readonly logits: readonly Value[];
  /** A scalar to be made small beside the loss. */
  readonly regularizer: Value | undefined;
  /** Embeddings' and layers' outputs, what heads read, and the pooled vector [B, hidden] where a head reads it. */
  readonly hiddenStates: readonly Value[];
  readonly output: Value;
  readonly pooled: Value | undefined;
  /** [B, S]: 1 for real tokens, 0 for pads. */
  readonly mask: Value;
  /** What can be observed in the attachment, by name: a row a token. */
  readonly observed: ReadonlyMap<string, Observed>;
  /** The values of trainable parameters that the program reads, by name. */
  readonly trainable: ReadonlyMap<string, Value>;
}

/**
 * Draws the forward pass over 'B' sequences: encoder, attachment, heads. `trainable` names are inputs of the program, all others
 * frozen weights.
 * @throws head.config for a head that reads the pooler of an encoder without one
 */
export function drawModel(
  { encoder, attachment, heads }: Model,
  dropout: Dropout,
  trainable: (name: string) => boolean,
  { read = readsOf(attachment, heads) }: { readonly read?: DrawingOptions['read'] } = {},
): Drawing {
  const { get, read: seen } = recordedParameters(trainable);
  const observed = new Map<string, Observed>();
  const hooks = attachment.hooks(get, dropout, (name, value, columns = []) => void observed.set(name, { value, columns }));
  const options = { ...partsOf(encoder, get), dropout, hooks, read };
  const { output, first, mask, hiddenStates } = drawEncoder(options);
  let pooled: Value | undefined;
  const drawingFor = (head: Head, channel: number): HeadDrawing => {
    const own = (x: Value) => answeredBy(x, mask, channel, attachment);
    const pooler = () => {
      if (!hasPooler(encoder)) refusePooler(encoder, head);
      pooled ??= drawPooled(options, first);
      return own(pooled);
    };
    return {
      encoder: encoder.config,
      tokens: own(output),
      first: own(first),
      mask,
      pooled: pooler,
      vector(pooling) {
        if (pooling === 'first') return own(first);
        return pooling === 'pooler' ? pooler() : pooledTokens(own(output), mask, pooling);
      },
      wordScores: (x, bias) => drawWordScores(options, x, bias),
      parameters: get,
      dropout,
    };
  };
  const logits = heads.map((head, i) => head.kind.draw(head, drawingFor(head, i), headInputs(i, heads.length)));
  return { logits, regularizer: attachment.regularizer?.(get), hiddenStates, output, pooled, mask, observed, trainable: seen };
}

/** Of a batch that stands in a value [rows, d] several times, the one that a channel's head reads; all where it stands there once. */
function answeredBy(x: Value, mask: Value, channel: number, { channels = [] }: Attachment): Value {
  const [batch, length] = mask.shape as [Dim, Dim];
  const rows = [batch, multiplyDims(batch, length)].find((one) => multiplyDims(channels.length, one) === x.shape[0]);
  return channels.length < 2 || rows === undefined ? x : slice(x, 0, multiplyDims(channel, rows), multiplyDims(channel + 1, rows));
}

/** What the encoder says of 'B' sequences with an attachment or without one: every token [B·S, d], and the one that stands for each sequence [B, d]. */
export function drawTokens(
  encoder: Encoder,
  parameters: Parameters,
  attachment?: Attachment,
): { readonly tokens: Value; readonly first: Value; readonly mask: Value } {
  const hooks: Hooks = attachment?.hooks(parameters, noDropout) ?? {};
  const { output, first, mask } = drawEncoder({ ...partsOf(encoder, parameters), dropout: noDropout, hooks, read: 'all' });
  return { tokens: output, first, mask };
}

function partsOf({ config, family }: Encoder, parameters: Parameters): Pick<DrawingOptions, 'config' | 'family' | 'parameters'> {
  return { config, family, parameters };
}

function readsOf({ mixesTokens }: Attachment, heads: readonly Head[]): DrawingOptions['read'] {
  return mixesTokens || heads.some(readsTokens) ? 'all' : 'first';
}

function refusePooler({ name }: Encoder, head: Head): never {
  return fail({
    code: 'head.config',
    subject: `head '${head.name}': key 'use_pooler'`,
    found: 'true',
    expected: `false: the encoder ${name} has no pooler`,
    next: 'Make a head that reads the first token, or take a checkpoint with its pooler.',
  });
}
