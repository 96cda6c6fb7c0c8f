import { z } from 'zod';
import { defined, fail } from '../base/index.ts';
import { checkNew, combineShape, copyCards, openAdapters } from './combine-options.ts';
import { defineCommand } from './command.ts';
import { countProgress } from './count-progress.ts';

const schema = z.object({
  adapter: z.string().meta({ value: 'folder', description: 'a saved adapter, of adapters or of PEFT' }),
  to: z.enum(['adapters', 'peft', 'lora', 'flat']).meta({
    description:
      "the layout of a library; 'lora': the nearest LoRA of a rank, whatever the method; 'flat': prefixes in place of their network",
  }),
  rank: z.number().int().positive().optional().meta({ description: 'rank of the LoRA' }),
  ...combineShape,
});

export const command = defineCommand({
  name: 'convert',
  summary: 'write an adapter in another layout, as a LoRA, or with flat prefixes',
  schema,
  async run(context, options) {
    const { files, stdout, json } = context;
    const { output, adapter, to, rank, format } = options;
    await checkNew(files, output);
    if ((to === 'lora') !== (rank !== undefined))
      fail({
        code: 'usage.flag',
        subject: '--rank',
        found: String(rank ?? 'nothing'),
        expected: to === 'lora' ? 'the rank of the LoRA' : `none for --to ${to}`,
      });
    const { model, names } = await openAdapters(context, options.model, [adapter]);
    const [name] = names as [string];
    let kept = 1;
    if (rank !== undefined) {
      const progress = await countProgress(context, 'linears');
      const onProgress = (done: number) => progress.onProgress(done, done);
      ({ kept } = await model.toLora(name, { rank, as: name, overwriteOk: true, onProgress }));
      progress.stop();
    }
    if (to === 'flat') await model.ejectPrefixTuning(name);
    const layout = to === 'adapters' || to === 'peft' ? to : undefined;
    await model.saveAdapter(output, name, defined({ layout, format }));
    if (kept > 1 - 1e-6) await copyCards(files, adapter, output);
    await model.release();
    const part = to === 'lora' ? `, which keeps ${(100 * kept).toFixed(2)} % of what it changes` : '';
    stdout(json ? JSON.stringify({ name, to, kept, output }) : `${adapter} as ${to}${part}. Saved in ${output}.`);
  },
});
