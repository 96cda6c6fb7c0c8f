import { describe, expect, it } from 'vitest';
import { open, quick, world } from '../../test/tiny-world.ts';
import { readTorch } from '../formats/torch.ts';
import { loadTask } from '../tasks/index.ts';
import { createHead, type Head, headParameters, MASKED_LM, type UnitLogits } from './index.ts';
import { headFeeds } from './inputs.ts';
import type { HeadBatch, Unit } from './unit.ts';

const made = (config: object = {}): Head => createHead('lm', { head_type: 'masked_lm', vocab_size: 9, embedding_size: 4, ...config });
const encoder = { vocabulary: 9, embedding: 4, hidden: 6 } as never;

describe('modules are numbered as in torch, absent ones take no number', () => {
  it.each([
    [{}, ['0.weight 4,6', '0.bias 4', '2.weight 4', '2.bias 4', '3.bias 9']],
    [
      { layers: 3 },
      ['0.weight 4,6', '0.bias 4', '2.weight 4', '2.bias 4', '3.weight 4,4', '3.bias 4', '5.weight 4', '5.bias 4', '6.bias 9'],
    ],
    [{ activation_function: null }, ['0.weight 4,6', '0.bias 4', '1.weight 4', '1.bias 4', '2.bias 9']],
    [{ layer_norm: false }, ['0.weight 4,6', '0.bias 4', '2.bias 9']],
    [{ layers: 1 }, ['0.bias 9']],
    [{ bias: false }, ['0.weight 4,6', '0.bias 4', '2.weight 4', '2.bias 4']],
  ])('%j', (config, expected) => {
    const specs = headParameters(made(config), encoder);
    expect(specs.map(({ name, shape }) => `${name.slice('heads.lm.'.length)} ${shape}`)).toEqual(expected);
  });

  it('says which size is not the encoder’s', () => {
    expect(() => headParameters(made({ vocab_size: 8 }), encoder)).toThrow("head 'lm': key 'vocab_size': found 8; expected 9");
    expect(() => headParameters(made({ embedding_size: 6 }), encoder)).toThrow("head 'lm': key 'embedding_size': found 6; expected 4");
    expect(() => made({ shift_labels: true })).toThrow("head 'lm': key 'shift_labels': found true; expected false");
  });
});

it('asks for the places of its units among all tokens of a run, and for one of weight 0 where it has none', () => {
  const unit = (places: number[], labels: number[]): Unit => {
    const target = { kind: 'masked', labels: Int32Array.from(labels) };
    return { row: 0, encodings: [], length: 5, target, places: Int32Array.from(places) };
  };
  const run: HeadBatch = {
    sequences: 4,
    width: 8,
    units: [
      { unit: unit([1], [7]), place: 1 },
      { unit: unit([2, 4], [-1, 3]), place: 3 },
    ],
  };
  const feeds = (batch: HeadBatch) => {
    const all = headFeeds({ ...MASKED_LM.gathers?.feeds(made() as never, batch), ...MASKED_LM.targets(made() as never, batch, 0.5) }, 2, 3);
    return Object.fromEntries(Object.entries(all).map(([name, { data }]) => [name, [...data]]));
  };
  expect(feeds(run)).toEqual({ 'maskedPlaces.2': [9, 26, 28], 'labels.2': [7, 0, 3], 'lossWeights.2': [0.5, 0, 0.5] });
  expect(feeds({ ...run, units: [] })).toEqual({ 'maskedPlaces.2': [0], 'labels.2': [0], 'lossWeights.2': [0] });
  expect(run.units.map(({ unit: asked }) => MASKED_LM.terms?.(asked))).toEqual([1, 1]);
});

it('answers with the word of the highest score in each place, and is unsure of equal ones', () => {
  const unit = { row: 0, encodings: [], length: 5, target: undefined, places: Int32Array.of(1, 3) };
  const logits = Float32Array.from({ length: 18 }, (_, i) => (i === 4 || i === 9 + 7 ? 60 : 0));
  const units: UnitLogits[] = [{ unit, logits }];
  const tokenizer = { tokenOf: (id: number) => `word ${id}` } as never;
  const row = { kind: 'classification', text: '' } as const;
  expect(MASKED_LM.answer(made() as never, row, units, tokenizer)).toEqual({ prediction: ['word 4', 'word 7'] });
  expect(MASKED_LM.entropy?.of(made() as never, unit, logits)).toBeCloseTo(0, 6);
  expect(MASKED_LM.entropy?.of(made() as never, unit, new Float32Array(18))).toBeCloseTo(1, 4);
});

it('guesses hidden words of rows, is saved and loaded, and is of no task', async () => {
  const files = world();
  const model = await open(files);
  model.addMaskedLmHead('lm', { layers: 2 });
  const rows = [{ text: 'the [MASK] and the [MASK]' }, { text: '[MASK]', textPair: 'of the sea' }];
  const answers = await model.predict(rows);
  expect(answers.map(({ prediction }) => (prediction as string[]).length)).toEqual([2, 1]);
  for (const { prediction } of answers) for (const word of prediction as string[]) expect(model.tokenizer.idOf(word)).toBeDefined();
  await expect(model.predict([rows[0], { text: 'the sea' }] as never)).rejects.toMatchObject({
    code: 'task.row',
    message: expect.stringContaining('row 2, text: found no word to guess; expected [MASK] in its place'),
  });
  const task = await loadTask(files, 'classification');
  const refusal = { code: 'task.card', message: expect.stringContaining("the head 'lm' of type masked_lm") };
  await expect(model.evaluate(task)).rejects.toMatchObject(refusal);
  model.addAdapter('lm');
  await expect(model.trainAdapter('lm', { task, ...quick })).rejects.toMatchObject(refusal);

  model.setActiveAdapters(undefined);
  await model.saveHead('saved', 'lm');
  const { tensors } = await readTorch(files, 'saved/pytorch_model_head.bin');
  const words = await model.encoder.weights.get('bert.embeddings.word_embeddings.weight')?.read();
  expect(tensors.get('heads.lm.3.weight')?.data).toEqual(words?.data);
  const other = await open(files);
  expect(await other.loadHead('saved')).toBe('lm');
  expect(await other.predict(rows)).toEqual(answers);
});
