import { expect } from 'vitest';
import { memoryFiles } from '../../src/base/files.ts';
import { float32, int32, type Tensor } from '../../src/base/tensor.ts';
import { loadSetup } from '../../src/checkpoint/index.ts';
import { type Encoder, loadEncoder } from '../../src/encoders/index.ts';
import { concat, gradients, type Value } from '../../src/graph/index.ts';
import { type Attachment, attachComposition, bindAdapter, configureMethod } from '../../src/methods/index.ts';
import { drawModel } from '../../src/model/draw.ts';
import { drawLoss } from '../../src/model/loss.ts';
import { type Model, weightsOf } from '../../src/model/model.ts';
import { noDropout } from '../../src/nn/index.ts';
import { createHead, headFeeds } from '../../src/objectives/index.ts';
import type { Engine } from '../../src/session/session.ts';
import { goldenFiles } from './files.ts';
import { type Batch, feedsOf, relativeError } from './forward.ts';
import { type Digest, digest, draw } from './fusion.ts';

export interface CompositionCase {
  readonly encoder: string;
  readonly adapters: Readonly<Record<string, string>>;
  /** As in adapter_setup.json. */
  readonly block: unknown;
  readonly taskIds?: readonly number[];
  readonly logits: number[][];
  readonly loss: number;
  readonly gradients?: Readonly<Record<string, Digest>>;
  readonly float32AgainstFloat64: number;
}

export type CompositionCases<Case extends CompositionCase = CompositionCase> = Parameters<typeof draw>[0] & {
  readonly labels: number[];
  readonly batches: Readonly<Record<string, Batch>>;
  readonly cases: Readonly<Record<string, Case>>;
};

/** Holds logits, loss and gradients against those of Python. */
export async function expectPython(golden: CompositionCases, given: CompositionCase, engine: Engine, exact = false): Promise<void> {
  const model = await modelOf(golden, given);
  // The numbers are those of float64; the worst that float32 does in Python is beside them.
  const tolerance = exact ? 1e-7 : Math.max(1e-5, 3 * given.float32AgainstFloat64);
  const { logits, loss, slopes } = await run(golden, engine, model, given);
  expect(relativeError(logits, given.logits.flat())).toBeLessThan(tolerance);
  expect(Math.abs(Number(loss?.data[0]) / given.loss - 1)).toBeLessThan(tolerance);
  const expected = Object.entries(given.gradients ?? {});
  expect(expected.length).toBeGreaterThanOrEqual(given.encoder === 'bert' ? 2 : 0);
  for (const [key, want] of expected) {
    const scale = Math.max(want[0] as number, 1e-6);
    digest(golden, key, slopes.get(key) as Tensor).forEach((value, i) => {
      expect(Math.abs(value - (want[i] as number)) / scale, `${key}, ${i}`).toBeLessThan(10 * tolerance);
    });
  }
}

/** Encoder, adapters and head with the golden values. */
export async function modelOf(
  golden: CompositionCases,
  { encoder: name, adapters, block }: Pick<CompositionCase, 'encoder' | 'adapters' | 'block'>,
): Promise<Model> {
  const loaded = await loadEncoder(goldenFiles, `test/golden/encoders/${name}`);
  const encoder: Encoder = { ...loaded, config: { ...loaded.config, hiddenDropout: 0, attentionDropout: 0, classifierDropout: 0 } };
  const facts = { encoder: encoder.config, family: encoder.family };
  const files = memoryFiles();
  await files.write('s/adapter_setup.json', JSON.stringify({ adapter_setup: block, head_setup: null, version: 'adapters.1.3.0' }));
  const { composition } = await loadSetup(files, 's');
  const methods = new Map(Object.entries(adapters).map(([adapter, text]) => [adapter, configureMethod(text)]));
  const attachment: Attachment = attachComposition(composition, { adapters: methods, fusions: new Map() }, facts);
  const specs = [...methods].flatMap(([adapter, method]) => bindAdapter(method, { ...facts, name: adapter }).parameters);
  const head = createHead('golden', { head_type: 'classification', num_labels: 3, layers: 1, dropout_prob: 0 });
  const frozen = new Map(specs.map(({ name: key, shape }) => [key, draw(golden, key, shape)]));
  return { encoder, attachment, heads: (attachment.channels ?? ['one']).map(() => head), frozen };
}

/** Gradients are those that Python has: where one adapter makes another void, there is none. */
async function run(
  golden: CompositionCases,
  engine: Engine,
  model: Model,
  { encoder, taskIds = [], gradients: slopesInPython = {} }: CompositionCase,
) {
  const trains = (name: string) => name.startsWith('heads.') || Object.hasOwn(slopesInPython, name);
  const drawing = drawModel(model, noDropout, trains, { read: 'all' });
  const { loss } = drawLoss(model, drawing.logits);
  const slopes = gradients(loss, [...drawing.trainable.values()]);
  const outputs: Record<string, Value> = { logits: concat(drawing.logits, 0), loss };
  [...drawing.trainable.keys()].forEach((name, i) => {
    outputs[`gradient/${name}`] = slopes[i] as Value;
  });
  const session = await engine.compile({ outputs }, weightsOf(model));
  const { labels, batches } = golden;
  const { heads } = model;
  const targets = {
    labels: int32([labels.length], labels),
    lossWeights: float32([labels.length], new Float32Array(labels.length).fill(1 / labels.length)),
  };
  const results = await session.run({
    ...feedsOf(batches[encoder] as Batch, model.encoder),
    ...model.attachment.rowFeeds?.(labels.map((_, row) => ({ row, task: taskIds[row] ?? 0 }))),
    // A parallel block answers all rows with each of its adapters: the loss is the mean over all answers.
    taskWeights: float32([heads.length], new Float32Array(heads.length).fill(1 / heads.length)),
    ...Object.assign({}, ...heads.map((_, i) => headFeeds(targets, i, heads.length))),
    ...Object.fromEntries([...drawing.trainable].map(([name, { shape }]) => [name, draw(golden, name, shape as number[])])),
  });
  await session.release();
  const found = Object.entries(results).flatMap(([key, value]) => (key.startsWith('gradient/') ? [[key.slice(9), value] as const] : []));
  return { logits: results.logits, loss: results.loss, slopes: new Map(found) };
}
