import { expect, it } from 'vitest';
import { open, quick, world } from '../../test/tiny-world.ts';
import { loadTask } from '../tasks/index.ts';

const rows = [{ text: 'bako mitu' }, { text: 'mitu' }];
const logitsOf = (answers: readonly { readonly logits?: readonly (number | readonly number[])[] }[]) =>
  answers.flatMap(({ logits = [] }) => logits.flat());

it.each(['double_seq_bn', 'lora[output_lora=True]', 'prefix_tuning'])('%s acts in the layers that are not skipped', async (method) => {
  const files = world();
  const model = await open(files);
  model.addAdapter('a', method);
  await model.trainAdapter('a', { task: await loadTask(files, 'classification'), ...quick });
  const answers = async (skipLayers: readonly number[]) => {
    model.setActiveAdapters('a', { skipLayers });
    return logitsOf(await model.predict(rows));
  };
  const { layers } = model.encoder.config;
  const every = Array.from({ length: layers }, (_, i) => i);
  const [whole, part, none] = [await answers([]), await answers([0]), await answers(every)];
  model.setActiveAdapters(undefined);
  expect(none).toEqual(logitsOf(await model.predict(rows)));
  expect(whole).not.toEqual(part);
  expect(part).not.toEqual(none);
  model.setActiveAdapters('a');
  expect(logitsOf(await model.predict(rows))).toEqual(whole);
});

it('layers that are not there are refused', async () => {
  const model = await open(world());
  model.addAdapter('a');
  for (const layer of [-1, 3, 0.5])
    expect(() => model.setActiveAdapters('a', { skipLayers: [0, layer] })).toThrow(
      `layers to skip: found ${layer}; expected whole numbers from 0 to 2`,
    );
});
