import { existsSync, readFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { memoryFiles } from '../../src/base/files.ts';
import { nodeFiles } from '../../src/base/files-node.ts';
import { float32, int32, type Tensor } from '../../src/base/tensor.ts';
import { encoderSpecs, type Hooks } from '../../src/encoders/index.ts';
import { readSafetensors } from '../../src/formats/safetensors.ts';
import { gradients, type Value } from '../../src/graph/index.ts';
import { attachCaMtl, fromPublishedName, hooksOfCaMtl } from '../../src/methods/index.ts';
import { drawModel } from '../../src/model/draw.ts';
import { drawLoss } from '../../src/model/loss.ts';
import { trainableParameters } from '../../src/model/model.ts';
import { noDropout } from '../../src/nn/index.ts';
import { nodeEngine } from '../../src/session/node.ts';
import { referenceEngine } from '../../src/session/reference.ts';
import type { Engine, Feeds, FileWeight } from '../../src/session/session.ts';
import { loadCaMtl, type SavedCaMtl, saveCaMtl } from '../../src/train/multi-task/ca-mtl-folder.ts';
import { compileStep } from '../../src/train/step.ts';
import { ADAMW, ParameterStore } from '../../src/update/index.ts';

/** Numbers of the published PyTorch code, on tiny models with random parameters: see the README beside them. */
const ROOT = '../shared/golden/ca-mtl';

interface Rows {
  readonly input_ids: number[][];
  readonly token_type_ids: number[][];
  readonly attention_mask: number[][];
}

interface Cases {
  readonly parameters: { name: string; shape: number[] }[];
  readonly batch: Rows & { task_id: number[]; labels: number[] };
  readonly hidden: Record<'name' | 'sum' | 'abs_sum' | 'row0_pos0' | 'row0_pos1', unknown>[];
  readonly pooled: number[][];
  readonly logits: number[][];
  readonly task_losses: number[];
  readonly loss: number;
  readonly loss_float64: number;
  readonly gradients: Record<string, { norm_float64: number; first: number[]; rounding_noise?: boolean }>;
  readonly freezing: { setting: string | null; frozen: string[] }[];
  readonly training: {
    freeze: string | null;
    lr: number;
    losses_float64: number[];
    task_losses: number[][];
    parameter_change_norm_float64: Record<string, number>;
  }[];
  readonly uncertainty: { candidates: Rows & { task_id: number[] }; logits: number[][] }[];
  readonly short_inputs: { rows: number[]; length: number };
}

const TASKS = [0, 1, 2];

describe.skipIf(!existsSync(ROOT))(`CA-MTL against the published code (skipped when ${ROOT} is absent)`, () => {
  describe.each(['base', 'large'] as const)('%s', (variant) => {
    const folder = `${ROOT}/${variant}`;
    let cases: Cases;
    let model: SavedCaMtl;
    let activations: ReadonlyMap<string, Tensor>;
    let engine: Engine;
    const ours = (name: string) => fromPublishedName(name, (task) => `heads.${model.heads[task]?.name}.1`);

    beforeAll(async () => {
      cases = JSON.parse(readFileSync(`${folder}/cases.json`, 'utf8'));
      model = withoutDropout(await loadCaMtl(nodeFiles, folder));
      activations = (await readSafetensors(nodeFiles, `${folder}/activations.safetensors`)).tensors;
      engine = await nodeEngine({ threads: 1 });
    });

    test('every hidden state, M, the ladder and the pooled vector, in float32 and float64', async () => {
      const outputs = drawEverything(model);
      const results = await run(engine, outputs, model, feedsOf(cases.batch));
      const expected = [...activations].map(([name, { data }]) => [name, data as Float32Array] as const);
      expect(expected.length).toBe(variant === 'base' ? 12 : 16);
      for (const [name, values] of expected) expect(difference(results[name], values), name).toBeLessThan(1e-5);
      const summaries = cases.hidden.filter(({ name }) => /^attention_|^sequence_output$/.test(name as string));
      expect(summaries).toHaveLength(5);
      for (const { name, sum, abs_sum, row0_pos0, row0_pos1 } of summaries) {
        const { data, shape } = results[name as string] as Tensor;
        const values = Array.from(data, Number);
        const [absolute, total] = [values.reduce((a, x) => a + Math.abs(x), 0), values.reduce((a, x) => a + x, 0)];
        expect(Math.abs(absolute / (abs_sum as number) - 1), name as string).toBeLessThan(1e-6);
        expect(Math.abs(total - (sum as number)), name as string).toBeLessThan(1e-6 * absolute);
        const firstRows = { dtype: 'float64', shape: [], data: Float64Array.from(values.slice(0, 2 * (shape.at(-1) as number))) } as const;
        expect(difference(firstRows, [...(row0_pos0 as number[]), ...(row0_pos1 as number[])]), name as string).toBeLessThan(1e-5);
      }
      const exact = await run(referenceEngine(), { pooled: outputs.pooled as Value }, model, feedsOf(cases.batch));
      expect(difference(exact.pooled, cases.pooled.flat())).toBeLessThan(3e-6);
    });

    test.each(['all', 'first'] as const)(
      'logits of the batch and of all candidates, computing %s tokens of the last layer',
      async (read) => {
        const { logits } = drawModel(model, noDropout, () => false, { read });
        const outputs = Object.fromEntries(logits.map((value, task) => [String(task), value]));
        const batches = [cases.batch, ...cases.uncertainty.map(({ candidates }) => candidates)];
        expect(batches).toHaveLength(4);
        const session = await engine.compile({ outputs }, weightsOf(model));
        for (const [i, batch] of batches.entries()) {
          const results = await session.run(feedsOf(batch));
          const golden = (i === 0 ? cases : (cases.uncertainty[i - 1] as Cases['uncertainty'][number])).logits;
          expect(golden).toHaveLength(batch.task_id.length);
          golden.forEach(
            (expected, row) => void expect(difference(rowOf(results, batch.task_id[row] as number, row), expected)).toBeLessThan(1e-5),
          );
        }
        await session.release();
      },
    );

    test('task losses, loss and gradients', async () => {
      const specs = trainableParameters(model);
      const published = cases.parameters.map(({ name, shape }) => `${ours(name)} [${shape}]`);
      expect(specs.map(({ name, shape }) => `${name} [${shape}]`).sort()).toEqual(published.sort());
      const trained = new Set(specs.map(({ name }) => name));
      const { logits, trainable } = drawModel(model, noDropout, (name) => trained.has(name));
      const { loss, losses: taskLosses } = drawLoss(model, logits);
      const slopes = gradients(
        loss,
        specs.map(({ name }) => trainable.get(name) as Value),
      );
      const outputs: Record<string, Value> = { loss, ...Object.fromEntries(taskLosses.map((value, task) => [`task ${task}`, value])) };
      const feeds = { ...feedsOf(cases.batch), ...targetsOf(cases.batch, model), ...(await valuesOf(model)) };

      const exact = await run(referenceEngine(), outputs, model, feeds);
      // Weights of a third and labels are fed as float32.
      expect(Math.abs(Number(exact.loss?.data[0]) / cases.loss_float64 - 1)).toBeLessThan(1e-7);
      specs.forEach(({ name }, i) => {
        outputs[name] = slopes[i] as Value;
      });
      const results = await run(engine, outputs, model, feeds);
      const number = (name: string) => Number(results[name]?.data[0]);
      expect(Math.abs(number('loss') / cases.loss - 1)).toBeLessThan(1e-5);
      for (const task of TASKS) expect(Math.abs(number(`task ${task}`) / (cases.task_losses[task] as number) - 1)).toBeLessThan(1e-5);

      let compared = 0;
      for (const [name, { norm_float64, first, rounding_noise }] of Object.entries(cases.gradients)) {
        if (rounding_noise) continue;
        const slope = results[ours(name)]?.data as Float32Array;
        const norm = Math.sqrt(slope.reduce((sum, x) => sum + x * x, 0));
        expect(Math.abs(norm / norm_float64 - 1), name).toBeLessThan(1e-5);
        first.forEach((value, i) => void expect(Math.abs((slope[i] as number) - value), name).toBeLessThan(1e-5 * norm_float64));
        compared++;
      }
      expect(compared).toBe(published.length - 4);
    });

    test('what each setting of the published code freezes', () => {
      const { plan } = model.attachment;
      expect(cases.freezing.map(({ setting }) => setting)).toEqual([null, '0-1', '0-0', '1-2', '0-3']);
      for (const { setting, frozen } of cases.freezing) {
        const { freezes } = attachCaMtl({ ...plan.config, freeze: setting ?? 0 }, plan.context);
        const names = cases.parameters.map(({ name }) => ours(name));
        expect(names.filter(freezes).sort(), `${setting}`).toEqual(frozen.map(ours).sort());
      }
    });

    test.each([null, '0-1'])('5 steps of AdamW, frozen: %s', async (freeze) => {
      const golden = cases.training.find((one) => one.freeze === freeze) as Cases['training'][number];
      const { plan } = model.attachment;
      const attachment = attachCaMtl({ ...plan.config, freeze: freeze ?? 0 }, plan.context);
      const trained = { ...model, attachment };
      const store = new ParameterStore(trainableParameters(trained));
      const start = await valuesOf(model);
      for (const { name } of store.specs) store.set(name, (start[name] as Tensor).data as Float32Array);
      const { logits, trainable } = drawModel(trained, noDropout, (name) => store.values().has(name));
      const { loss } = drawLoss(model, logits);
      const goal = { loss, trainable, weights: weightsOf(model), masks: () => ({}) };
      const step = await compileStep(engine, goal, store, { adamw: { ...ADAMW, clip: 0, weightDecay: 0 } });
      const losses: number[] = [];
      for (let t = 1; t <= 5; t++)
        losses.push((await step.run([{ ...feedsOf(cases.batch), ...targetsOf(cases.batch, model) }], golden.lr, t)).loss);
      await step.release();
      const after = await run(engine, { loss }, model, {
        ...feedsOf(cases.batch),
        ...targetsOf(cases.batch, model),
        ...Object.fromEntries(store.values()),
      });
      losses.push(Number(after.loss?.data[0]));
      expect(losses).toHaveLength(6);
      for (const [i, value] of losses.entries())
        expect(Math.abs(value / (golden.losses_float64[i] as number) - 1), `loss ${i}`).toBeLessThan(1e-4);
      const moved = Object.entries(golden.parameter_change_norm_float64);
      expect(moved.length).toBeGreaterThan(60);
      for (const [name, norm] of moved) {
        const before = (start[ours(name)] as Tensor).data as Float32Array;
        const change = (store.get(ours(name)).data as Float32Array).reduce((sum, x, i) => sum + (x - (before[i] as number)) ** 2, 0);
        expect(Math.abs(Math.sqrt(change) / norm - 1), name).toBeLessThan(1e-4);
      }
    });

    test('shorter inputs take the corner of M: real positions stay', async () => {
      const { rows, length } = cases.short_inputs;
      const cut = (all: number[][]) => rows.map((row) => (all[row] as number[]).slice(0, length));
      const { input_ids, token_type_ids, attention_mask, task_id } = cases.batch;
      const short = { input_ids: cut(input_ids), token_type_ids: cut(token_type_ids), attention_mask: cut(attention_mask) };
      const feeds = feedsOf({ ...short, task_id: rows.map((row) => task_id[row] as number) });
      const results = await run(engine, drawEverything(model), model, feeds);
      expect(
        difference(
          results.pooled,
          rows.flatMap((row) => cases.pooled[row] as number[]),
        ),
      ).toBeLessThan(1e-5);
      const [{ shape }, last] = [activations.get('layer_3') as Tensor, activations.get('layer_3')?.data as Float32Array];
      const [, full, d] = shape as [number, number, number];
      rows.forEach((row, i) => {
        const real = (attention_mask[row] as number[]).reduce((a, b) => a + b, 0);
        const got = ((results.layer_3 as Tensor).data as Float32Array).slice(i * length * d, (i * length + real) * d);
        expect(difference(float32([real, d], got), last.slice(row * full * d, (row * full + real) * d))).toBeLessThan(1e-5);
      });
    });

    test('pytorch_model.bin gives the same tensors, and so does a folder of ours made from it', async () => {
      const files = {
        ...nodeFiles,
        list: async (path: string) => (await nodeFiles.list(path)).filter((name) => name !== 'model.safetensors'),
      };
      const other = await loadCaMtl(files, folder);
      expect([...other.tensors]).toEqual([...model.tensors]);
      const memory = memoryFiles();
      await saveCaMtl(memory, 'ours', other);
      const saved = await loadCaMtl(memory, 'ours');
      expect([...saved.tensors]).toEqual([...model.tensors]);
      expect(saved.heads).toEqual(other.heads);
      for (const [name, weight] of saved.encoder.weights)
        expect(await weight.read()).toEqual(await model.encoder.weights.get(name)?.read());
      expect(other.encoder.weights.size).toBe(encoderSpecs(model.encoder.family, model.encoder.config).length);
      for (const [name, weight] of other.encoder.weights)
        expect(await weight.read()).toEqual(await model.encoder.weights.get(name)?.read());
    });
  });
});

function withoutDropout(model: SavedCaMtl): SavedCaMtl {
  const config = { ...model.encoder.config, hiddenDropout: 0, attentionDropout: 0, classifierDropout: 0 };
  return { ...model, encoder: { ...model.encoder, config } };
}

/** All values under the names of the pack. */
function drawEverything(model: SavedCaMtl): Record<string, Value> {
  const outputs: Record<string, Value> = {};
  const { attachment } = model;
  const PACK: Readonly<Record<string, string>> = { taskVector: 'task_vector', bias: 'bias_matrix', ladder: 'ladder', aligned: 'aligned' };
  const watched = {
    ...attachment,
    hooks(resolve: Parameters<typeof attachment.hooks>[0]): Hooks {
      const hooks = hooksOfCaMtl(attachment, resolve, (name, value) => {
        const [kind, layer] = name.split('/');
        outputs[[PACK[kind as string], layer].filter(Boolean).join('_')] = value;
      });
      return {
        ...hooks,
        input(site) {
          outputs.embeddings = site.x;
          return hooks.input?.(site) ?? site.x;
        },
        residual(site) {
          const value = hooks.residual?.(site) ?? site.join(site.h);
          if (site.place === 'attention') outputs[`attention_${site.layer}`] = value;
          return value;
        },
      };
    },
  };
  const { hiddenStates, output, pooled } = drawModel({ ...model, attachment: watched }, noDropout, () => false, { read: 'all' });
  for (const [i, value] of hiddenStates.slice(1).entries()) outputs[`layer_${i}`] = value;
  return { ...outputs, sequence_output: output, pooled: pooled as Value };
}

function weightsOf({ encoder, tensors }: SavedCaMtl): Map<string, Tensor | FileWeight> {
  return new Map<string, Tensor | FileWeight>([...encoder.weights, ...tensors]);
}

async function valuesOf(model: SavedCaMtl): Promise<Record<string, Tensor>> {
  const values = Object.fromEntries(model.tensors);
  for (const [name, weight] of model.encoder.weights) values[name] = await weight.read();
  return values;
}

async function run(engine: Engine, outputs: Record<string, Value>, model: SavedCaMtl, feeds: Feeds) {
  const session = await engine.compile({ outputs }, weightsOf(model));
  const results = await session.run(feeds);
  await session.release();
  return results;
}

function feedsOf({ input_ids, token_type_ids, attention_mask, task_id }: Rows & { task_id: number[] }): Feeds {
  const shape = [input_ids.length, (input_ids[0] as number[]).length];
  return {
    inputIds: int32(shape, input_ids.flat()),
    tokenTypeIds: int32(shape, token_type_ids.flat()),
    attentionMask: float32(shape, attention_mask.flat()),
    taskIds: int32([task_id.length], task_id),
  };
}

function targetsOf({ task_id, labels }: Cases['batch'], { heads }: SavedCaMtl): Feeds {
  const ofHeads = heads.map(({ kind }, task) => {
    const own = task_id.map((id) => id === task);
    const share = 1 / own.filter(Boolean).length;
    const given = labels.map((label, row) => (own[row] ? label : 0));
    return {
      [`labels.${task}`]: kind.numbers ? float32([labels.length], given) : int32([labels.length], given),
      [`lossWeights.${task}`]: float32(
        [labels.length],
        own.map((mine) => (mine ? share : 0)),
      ),
    };
  });
  return {
    ...Object.assign({}, ...ofHeads),
    taskWeights: float32(
      [TASKS.length],
      TASKS.map(() => 1 / TASKS.length),
    ),
  };
}

function rowOf(results: Readonly<Record<string, Tensor>>, task: number, row: number): Tensor {
  const { data, shape } = results[task] as Tensor;
  const width = shape[1] as number;
  return float32([width], (data as Float32Array).slice(row * width, (row + 1) * width));
}

/** Largest difference over largest value. */
function difference(got: Tensor | undefined, expected: ArrayLike<number>): number {
  expect(got?.data.length).toBe(expected.length);
  let [worst, largest] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    worst = Math.max(worst, Math.abs(Number(got?.data[i]) - (expected[i] as number)));
    largest = Math.max(largest, Math.abs(expected[i] as number));
  }
  return worst / largest;
}
