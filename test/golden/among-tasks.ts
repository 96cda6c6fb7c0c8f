import { expect } from 'vitest';
import { float32, int32, type Tensor } from '../../src/base/tensor.ts';
import { gradients, type Value } from '../../src/graph/index.ts';
import { drawModel } from '../../src/model/draw.ts';
import { drawLoss } from '../../src/model/loss.ts';
import { type Model, weightsOf } from '../../src/model/model.ts';
import { noDropout } from '../../src/nn/index.ts';
import type { Engine } from '../../src/session/session.ts';
import { type Batch, feedsOf } from './forward.ts';

/** Rows of several tasks, each with a label. */
export interface TaskRows {
  readonly batch: Batch;
  readonly taskIds: readonly number[];
  readonly labels: readonly number[];
}

export interface Outcome {
  /** By row, in the order of the rows. */
  readonly logits: number[];
  readonly loss: number;
  /** Gradients of the loss by each of `trainable`. */
  readonly slopes: ReadonlyMap<string, Float64Array>;
}

/** One pass forward and back over the given parts of the rows, which add up to the whole: the loss is the mean over all rows. */
export async function passOf(
  engine: Engine,
  model: Model,
  tensors: ReadonlyMap<string, Tensor>,
  trainable: readonly string[],
  { batch, taskIds, labels }: TaskRows,
  parts: readonly (readonly number[])[] = [labels.map((_, row) => row)],
): Promise<Outcome> {
  const drawn = drawModel(model, noDropout, (name) => trainable.includes(name));
  const { loss } = drawLoss(model, drawn.logits);
  expect([...drawn.trainable.keys()].sort()).toEqual([...trainable].sort());
  const drawnSlopes = gradients(loss, [...drawn.trainable.values()]) as Value[];
  const slopeNames = [...drawn.trainable.keys()];
  const outputs = {
    logits: drawn.logits[0] as Value,
    loss,
    ...Object.fromEntries(slopeNames.map((name, i) => [name, drawnSlopes[i] as Value])),
  };
  const session = await engine.compile({ outputs }, weightsOf(model, tensors));
  const logits: number[][] = [];
  const slopes = new Map<string, Float64Array>();
  let total = 0;
  for (const rows of parts) {
    const of = <T>(all: readonly T[]) => rows.map((row) => all[row] as T);
    const part: Batch = {
      inputIds: of(batch.inputIds),
      attentionMask: of(batch.attentionMask),
      ...(batch.tokenTypeIds && { tokenTypeIds: of(batch.tokenTypeIds) }),
    };
    const results = await session.run({
      ...feedsOf(part, model.encoder),
      ...Object.fromEntries([...tensors].filter(([name]) => trainable.includes(name))),
      taskIds: int32([rows.length], of(taskIds)),
      labels: int32([rows.length], of(labels)),
      lossWeights: float32([rows.length], new Float32Array(rows.length).fill(1 / labels.length)),
    });
    const numbers = Array.from(results.logits?.data ?? [], Number);
    const each = numbers.length / rows.length;
    rows.forEach((row, i) => {
      logits[row] = numbers.slice(i * each, (i + 1) * each);
    });
    total += Number(results.loss?.data[0]);
    for (const name of slopeNames) {
      const slope = Float64Array.from((results[name] as Tensor).data as Float32Array);
      const before = slopes.get(name);
      slopes.set(name, before ? slope.map((x, i) => x + (before[i] as number)) : slope);
    }
  }
  await session.release();
  return { logits: logits.flat(), loss: total, slopes };
}

/** Holds logits, loss and gradient norms against those of Python; norms that vanish there must be small here. */
export function expectOutcome(
  { logits, loss, slopes }: Outcome,
  golden: { readonly logits: number[][]; readonly loss: number; readonly gradientNorms: Readonly<Record<string, number>> },
  { forward, backward }: { readonly forward: number; readonly backward: number },
): void {
  const want = golden.logits.flat();
  const largest = Math.max(...want.map(Math.abs));
  expect(logits).toHaveLength(want.length);
  for (const [i, value] of want.entries()) expect(Math.abs((logits[i] as number) - value) / largest).toBeLessThan(forward);
  expect(Math.abs(loss / golden.loss - 1)).toBeLessThan(forward);
  expect([...slopes.keys()].sort()).toEqual(Object.keys(golden.gradientNorms).sort());
  for (const [name, norm] of Object.entries(golden.gradientNorms)) {
    const got = Math.hypot(...(slopes.get(name) as Float64Array));
    expect(Math.abs(got - norm), name).toBeLessThan(backward * Math.max(norm, 0.01));
  }
}
