import { expect, it } from 'vitest';
import { open, quick, world } from '../../test/tiny-world.ts';
import type { Model } from '../model/model.ts';
import { loadTask } from '../tasks/index.ts';
import { droppingStep } from './adapter-drop.ts';

it('trains, and what is resumed or trained again draws the same', async () => {
  const files = world();
  const task = await loadTask(files, 'classification');
  const train = async (dropLayers?: number) => {
    const model = await open(files);
    model.addAdapter('a');
    await model.trainAdapter('a', { task, ...quick, maxSteps: 6, epochs: 6, ...(dropLayers !== undefined && { dropLayers }) });
    return (await model.predict([{ text: 'bako mitu' }]))[0]?.logits;
  };
  const [plain, once, twice] = [await train(), await train(2), await train(2)];
  expect(once).toEqual(twice);
  expect(once).not.toEqual(plain);
});

/** Of three layers, with something attached that says where it acts. */
const ACTING = {
  encoder: { config: { layers: 3 } },
  attachment: { text: 'a', parameters: [{}], hooks: () => ({ layer: () => 'acts' }) },
} as unknown as Model;

function skippedBy({ attachment }: Model): number {
  const { layer } = attachment.hooks(undefined as never, undefined as never) as unknown as {
    layer: (site: { layer: number; h: string }) => string;
  };
  return [0, 1, 2].filter((index) => layer({ layer: index, h: 'stock' }) === 'stock').length;
}

it('each step goes without as many first layers as seed and step say, and each number of them is compiled once', async () => {
  const made: number[] = [];
  const ran: number[] = [];
  const step = await droppingStep(ACTING, { most: 2, seed: 4 }, async (part, partial) => {
    const skipped = skippedBy(part);
    made.push(skipped);
    expect(partial).toBe(skipped > 0);
    return {
      run: async () => {
        ran.push(skipped);
        return { loss: 0, gradientNorm: 0, terms: {} };
      },
      release: async () => {},
    };
  });
  for (let t = 1; t <= 60; t++) await step.run([], 1, t);
  expect(made.toSorted()).toEqual([0, 1, 2]);
  for (const skipped of [0, 1, 2]) expect(ran.filter((one) => one === skipped).length).toBeGreaterThan(10);
  const again = ran.splice(0);
  for (let t = 1; t <= 60; t++) await step.run([], 1, t);
  expect(ran).toEqual(again);
});

it.each([
  [3, 'dropLayers: found 3; expected less than the 3 layers of the encoder'],
  [7, 'dropLayers: found 7'],
])('%i layers are too many', async (dropLayers, message) => {
  const files = world();
  const model = await open(files);
  model.addAdapter('a');
  const task = await loadTask(files, 'classification');
  await expect(model.trainAdapter('a', { task, ...quick, dropLayers })).rejects.toThrow(message);
});
