import { readFileSync } from 'node:fs';
import { expect } from 'vitest';
import { float32, int32, type Tensor } from '../../src/base/tensor.ts';
import { drawEncoder, drawPooled, drawWordScores, type Encoder } from '../../src/encoders/index.ts';
import type { Value } from '../../src/graph/index.ts';
import { attach, type ConfiguredMethod, withoutLayers } from '../../src/methods/index.ts';
import { noDropout, type Pooling, parameters, pooledTokens } from '../../src/nn/index.ts';
import { type Head, headInputs } from '../../src/objectives/index.ts';
import type { Engine, FileWeight } from '../../src/session/session.ts';

export interface Batch {
  readonly inputIds: number[][];
  readonly attentionMask: number[][];
  readonly tokenTypeIds?: number[][];
}

export interface Forward {
  readonly encoder: Encoder;
  readonly method?: ConfiguredMethod;
  readonly name: string;
  readonly head?: Head;
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly read?: 'all' | 'first';
  readonly skipLayers?: readonly number[];
  /** Feeds of the loss; without them no loss is drawn. */
  readonly targets?: Readonly<Record<string, Tensor>>;
  /** What else the head asks for. */
  readonly feeds?: Readonly<Record<string, Tensor>>;
}

export function readCases<T>(path: string): T {
  return JSON.parse(readFileSync(`test/golden/${path}`, 'utf8'));
}

/** Hidden states of the last layer, logits, pooled vector and loss of one padded batch, without dropout. */
export async function forward(
  engine: Engine,
  { encoder, method, name, head, tensors, read = 'all', skipLayers = [], targets, feeds }: Forward,
  batch: Batch,
): Promise<Record<string, Tensor>> {
  const { family, config } = encoder;
  const resolve = parameters(() => false);
  const attachment = method && withoutLayers(attach(method, { encoder: config, family, name }), skipLayers, config);
  const hooks = attachment?.hooks(resolve, noDropout) ?? {};
  const options = { family, config, parameters: resolve, dropout: noDropout, hooks, read } as const;
  const { output, first, mask } = drawEncoder(options);
  const outputs: Record<string, Value> = { hidden: output };
  if (family.pooler !== undefined) outputs.pooled = drawPooled(options, first);
  if (head) {
    const inputs = headInputs(0, 1);
    const drawing = {
      encoder: config,
      tokens: output,
      first,
      mask,
      pooled: () => outputs.pooled as Value,
      vector: (pooling: Pooling) =>
        pooling === 'first' ? first : pooling === 'pooler' ? (outputs.pooled as Value) : pooledTokens(output, mask, pooling),
      wordScores: (x: Value, bias: Value) => drawWordScores(options, x, bias),
      parameters: resolve,
      dropout: noDropout,
    };
    outputs.logits = head.kind.draw(head, drawing, inputs);
    if (targets) outputs.loss = head.kind.loss(head, outputs.logits, inputs);
  }
  const session = await engine.compile({ outputs }, new Map<string, Tensor | FileWeight>([...encoder.weights, ...tensors]));
  const results = await session.run({ ...feedsOf(batch, encoder), ...choicesOf(batch, head), ...feeds, ...targets });
  await session.release();
  return results;
}

/** Which sequences are the choices of each row: those that stand together. */
function choicesOf({ inputIds }: Batch, head: Head | undefined): Record<string, Tensor> {
  const choices = head?.kind.sequences?.(head.config);
  return choices ? { choices: int32([inputIds.length / choices, choices], [...inputIds.keys()]) } : {};
}

export function feedsOf(batch: Batch, { config }: Encoder): Record<string, Tensor> {
  const shape = [batch.inputIds.length, (batch.inputIds[0] as number[]).length];
  const positions = batch.attentionMask.map((row) => row.map((real, i) => (real ? config.padId + 1 + i : config.padId)));
  return {
    inputIds: int32(shape, batch.inputIds.flat()),
    attentionMask: float32(shape, batch.attentionMask.flat()),
    tokenTypeIds: int32(shape, (batch.tokenTypeIds ?? batch.inputIds.map((row) => row.map(() => 0))).flat()),
    positionIds: int32(shape, positions.flat()),
  };
}

/** Largest difference over largest value. */
export function relativeError(got: Tensor | undefined, expected: readonly number[]): number {
  let [difference, largest] = [0, 0];
  expect(got?.data.length).toBe(expected.length);
  expected.forEach((value, i) => {
    difference = Math.max(difference, Math.abs(value - Number(got?.data[i])));
    largest = Math.max(largest, Math.abs(value));
  });
  expect(largest).toBeGreaterThan(0.01);
  return difference / largest;
}
