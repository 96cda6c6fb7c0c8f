import { z } from 'zod';
import { fail } from '../base/index.ts';
import { describe } from '../methods/index.ts';
import { modelShape, openModel } from './attach.ts';
import { checkNew, combineShape, copyCards } from './combine-options.ts';
import { defineCommand } from './command.ts';
import { countProgress } from './count-progress.ts';

const schema = z.object({
  model: modelShape.model,
  adapter: z.array(z.string()).default([]).meta({ value: 'folder', description: 'a saved adapter; several with --setup' }),
  setup: modelShape.setup,
  skipLayers: modelShape.skipLayers,
  head: modelShape.head,
  output: combineShape.output,
});

export const command = defineCommand({
  name: 'merge',
  summary: "write a whole model with an adapter in the encoder's weights, for transformers and this library",
  schema,
  async run(context, options) {
    const { files, stdout, json } = context;
    const { output, adapter } = options;
    await checkNew(files, output);
    const model = await openModel(context, { ...options, fusion: [] });
    const setup = model.activeAdapters;
    if (setup === undefined)
      return fail({
        code: 'usage.value',
        subject: '--adapter',
        found: adapter[0] === undefined ? 'nothing' : `${adapter[0]}, a head alone`,
        expected: 'an adapter to merge',
      });
    const progress = await countProgress(context, 'weights');
    let merged = 0;
    const total = model.encoder.weights.size;
    await model.mergeAdapter(setup, {
      onProgress(done) {
        merged = done;
        progress.onProgress(done, total);
      },
    });
    progress.stop();
    await model.saveModel(output);
    if (adapter.length === 1) await copyCards(files, adapter[0] as string, output);
    await model.release();
    const result = { setup: describe(setup), merged, head: model.activeHead ?? null, output };
    stdout(json ? JSON.stringify(result) : `${merged} linears and norms have ${describe(setup)} in them. Saved in ${output}.`);
  },
});
