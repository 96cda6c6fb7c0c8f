import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { float32, int32, type Tensor } from '../../src/base/tensor.ts';
import { loadEncoder } from '../../src/encoders/index.ts';
import { readSafetensors } from '../../src/formats/safetensors.ts';
import { configureMethod, methodOfConfig } from '../../src/methods/index.ts';
import { adapterModel, trainableParameters } from '../../src/model/model.ts';
import { createHead } from '../../src/objectives/index.ts';
import { nodeEngine } from '../../src/session/node.ts';
import { createTrainingStep } from '../../src/train/step.ts';
import { ADAMW, ParameterStore } from '../../src/update/index.ts';
import { goldenFiles } from './files.ts';
import { GROUPS } from './groups.ts';

const FOLDER = 'test/golden/trajectories';
/** Those in a folder belong to the group of methods of its name. */
const names = readdirSync(FOLDER, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.json') && file !== 'schedules.json')
  .map((file) => file.slice(0, -'.json'.length));
const groupOf = (name: string) => (name.includes('/') ? (name.split('/')[0] as string) : 'methods');

test('trajectories of every kind of method are compared', () => {
  expect(names.length).toBeGreaterThanOrEqual(19);
  const groups = GROUPS.map(({ name }) => name);
  expect(groups).toEqual(expect.arrayContaining([...new Set(names.map(groupOf))]));
});

/** Six steps of AdamW without dropout, as PyTorch takes them. */
test.each(names)('%s: losses, gradient norms and parameters follow PyTorch for 6 steps', async (name) => {
  const golden = JSON.parse(readFileSync(`${FOLDER}/${name}.json`, 'utf8'));
  const loaded = await loadEncoder(goldenFiles, `test/golden/encoders/${golden.encoder}`);
  const encoder = { ...loaded, config: { ...loaded.config, hiddenDropout: 0, attentionDropout: 0, classifierDropout: 0 } };
  const head = createHead('golden', { head_type: 'classification', ...golden.head, dropout_prob: 0 });
  const method = golden.config ? methodOfConfig(golden.config, name) : configureMethod(golden.method);
  const { tensors } = await readSafetensors(goldenFiles, `${FOLDER}/${golden.parameters}`);
  const attached = adapterModel(encoder, method, 'golden', head);
  const still = attached.attachment.parameters.filter(({ trains }) => trains === false).map((spec) => spec.name);
  const model = { ...attached, frozen: new Map(still.map((key) => [key, tensors.get(key) as Tensor])) };

  const store = new ParameterStore(trainableParameters(model));
  for (const { name: key } of store.specs) {
    const start = tensors.get(key) ?? (await encoder.weights.get(key)?.read());
    expect(start, key).toBeDefined();
    store.set(key, start?.data as Float32Array);
  }
  const { learningRate, clip, weightDecay, steps } = golden.optimiser;
  const step = await createTrainingStep(await nodeEngine({ threads: 1 }), model, store, {
    adamw: { ...ADAMW, clip, weightDecay },
    seed: 1,
  });
  const parts = split(golden, encoder.config.padId);
  const losses: number[] = [];
  const norms: number[] = [];
  for (let t = 1; t <= steps; t++) {
    const result = await step.run(parts, learningRate, t);
    losses.push(result.loss);
    norms.push(result.gradientNorm);
  }
  expect(losses).toHaveLength(6);
  for (const [i, loss] of losses.entries()) expect(Math.abs(loss / golden.losses64[i] - 1), `loss ${i}`).toBeLessThan(1e-4);
  for (const [i, norm] of norms.entries()) expect(Math.abs(norm / golden.gradientNorms64[i] - 1), `norm ${i}`).toBeLessThan(1e-4);
  let compared = 0;
  for (const [key, sum] of Object.entries<number>(golden.finalAbsSums)) {
    if (golden.vanishingGradient.includes(key) || golden.withoutGradient.includes(key)) continue;
    const ours = (store.get(key).data as Float32Array).reduce((total, value) => total + Math.abs(value), 0);
    expect(Math.abs(ours / sum - 1), key).toBeLessThan(1e-4);
    compared++;
  }
  expect(compared).toBeGreaterThanOrEqual(4);
  await step.release();
});

function split(
  golden: { inputIds: number[][]; attentionMask: number[][]; tokenTypeIds?: number[][]; labels: number[]; microBatches: number[] },
  padId: number,
): Record<string, Tensor>[] {
  let start = 0;
  return golden.microBatches.map((count) => {
    const rows = (all: number[][]) => all.slice(start, start + count);
    const shape = [count, (golden.inputIds[0] as number[]).length];
    const mask = rows(golden.attentionMask);
    const part = {
      inputIds: int32(shape, rows(golden.inputIds).flat()),
      attentionMask: float32(shape, mask.flat()),
      tokenTypeIds: int32(shape, rows(golden.tokenTypeIds ?? golden.inputIds.map((row) => row.map(() => 0))).flat()),
      positionIds: int32(
        shape,
        mask.flatMap((row) => row.map((real, i) => (real ? padId + 1 + i : padId))),
      ),
      labels: int32([count], golden.labels.slice(start, start + count)),
      lossWeights: float32([count], new Float32Array(count).fill(1 / golden.labels.length)),
    };
    start += count;
    return part;
  });
}
