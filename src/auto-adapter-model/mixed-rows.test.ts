import { describe, expect, it } from 'vitest';
import { open, world } from '../../test/tiny-world.ts';
import { createRandom, elementCount, float32 } from '../base/index.ts';
import { saveAdapter } from '../checkpoint/index.ts';
import { bindAdapter, type Composition, configureMethod, encoderFacts } from '../methods/index.ts';
import type { Answer } from '../predict/answer.ts';
import type { AutoAdapterModel } from './auto-adapter-model.ts';

const files = world();

/** An adapter whose values are all away from any neutral one. */
async function addRandom(model: AutoAdapterModel, name: string, method: string, seed: number): Promise<void> {
  const random = createRandom(seed);
  const configured = configureMethod(method);
  const { parameters } = bindAdapter(configured, { ...encoderFacts(model.encoder), name });
  const tensors = new Map(
    parameters.map((spec) => [
      spec.name,
      float32(
        spec.shape,
        Array.from({ length: elementCount(spec.shape) }, () => 0.3 * random.normal()),
      ),
    ]),
  );
  await saveAdapter(files, `saved/${name}`, { name, method: configured, tensors, model: model.encoder });
  await model.loadAdapter(`saved/${name}`, { setActive: false });
}

/** The largest difference of numbers, by the largest of them. */
function distance(found: Answer, expected: Answer): number {
  const numbers = ({ logits, spans }: Answer) => [logits ?? [], spans?.map(({ score }) => score) ?? []].flat(3) as number[];
  const [a, b] = [numbers(found), numbers(expected)];
  expect(a).toHaveLength(b.length);
  expect(b.length).toBeGreaterThan(0);
  return Math.max(...a.map((x, i) => Math.abs(x - (b[i] as number)))) / Math.max(...b.map(Math.abs));
}

type Row = Readonly<Record<string, unknown>>;

async function checkAlone(model: AutoAdapterModel, rows: readonly Row[], names: readonly (string | Composition)[]): Promise<Answer[]> {
  const mixed = await model.predict(rows, { adapterNames: names });
  expect(mixed).toHaveLength(rows.length);
  for (const [i, name] of names.entries()) {
    model.setActiveAdapters(name === '__base__' ? undefined : name);
    const [alone] = (await model.predict([rows[i] as Row])) as [Answer];
    expect(distance(mixed[i] as Answer, alone)).toBeLessThan(1e-5);
    expect(mixed[i]?.prediction).toEqual(alone.prediction);
  }
  return mixed;
}

describe('rows that each name their adapter', () => {
  it('are answered in one call as each is alone', async () => {
    const model = await open(files);
    for (const [i, name] of ['a', 'b'].entries()) {
      await addRandom(model, name, 'seq_bn', i);
      model.addClassificationHead(name, { numLabels: 2 + i });
    }
    const rows = ['bako mitu', 'le sar nof pi bako', 'tu'].map((text) => ({ text }));
    const mixed = await checkAlone(model, rows, ['b', 'a', 'b']);
    expect(mixed.map(({ logits }) => logits?.length)).toEqual([3, 2, 3]);
  });

  it('have gates that look at their own tokens, and tell what these let through', async () => {
    const model = await open(files);
    for (const [i, name] of ['c', 'd'].entries()) {
      await addRandom(model, name, i === 0 ? 'seq_bn' : 'unipelt', i);
      model.addClassificationHead(name, { numLabels: 2 });
    }
    const rows = ['bako mitu', 'le sar nof pi bako', 'tu'].map((text) => ({ text }));
    await checkAlone(model, rows, ['d', 'c', 'd']);
    const [alone] = await model.predict([{ text: 'tu' }], { explain: true });
    const [, beside] = await model.predict([{ text: 'le sar nof pi bako' }, { text: 'tu' }], { explain: true });
    const gates = Object.entries(alone?.observed ?? {});
    expect(gates.length).toBe(4 * model.encoder.config.layers);
    expect(Object.keys(alone?.observed ?? {})).toEqual(
      expect.arrayContaining(['gate of d/0.output', 'gate of d/1.query', 'gate of d/1.prefix']),
    );
    for (const [at, columns] of gates) {
      expect(columns.gate).toBeGreaterThan(0);
      expect(columns.gate).toBeLessThan(1);
      expect(beside?.observed?.[at]?.gate).toBeCloseTo(columns.gate as number, 5);
    }
  });
});
