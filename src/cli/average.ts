import { z } from 'zod';
import { defined, fail, MultigraftError } from '../base/index.ts';
import { COMBINATIONS, STRATEGIES } from '../model/weighted.ts';
import { checkNew, combineShape, openAdapters } from './combine-options.ts';
import { defineCommand } from './command.ts';

/** PEFT's `linear` is of factors, that of `adapters` of parameters. */
const FACTORS = 'lora_linear';

const schema = z.object({
  adapter: z.array(z.string()).min(2, 'at least two').meta({ value: 'folder', description: 'a saved adapter; give the flag for each' }),
  weights: z
    .array(z.number())
    .optional()
    .meta({ commas: true, description: 'one for each adapter, with commas; negative ones too (default: equal)' }),
  strategy: z
    .enum([...STRATEGIES, FACTORS, ...COMBINATIONS.filter((name) => name !== 'linear')])
    .default('linear')
    .meta({ description: "linear for every method; the others for LoRA, after adapters and PEFT (lora_linear is PEFT's linear)" }),
  normalizeWeights: z.boolean().default(true).meta({ description: "take weights as they are; PEFT's combinations always do" }),
  svdRank: z.number().int().positive().optional().meta({ description: 'rank of a strategy with svd' }),
  svdClamp: z.number().optional().meta({ description: 'quantile at which numbers of a strategy with svd are cut' }),
  density: z
    .number()
    .optional()
    .meta({ description: 'which part of the numbers ties, dare and magnitude_prune keep, above 0 and at most 1' }),
  majoritySign: z.enum(['total', 'frequency']).optional().meta({ description: 'how ties elects signs' }),
  seed: z.number().int().default(1).meta({ description: 'what dare drops' }),
  name: z.string().default('average').meta({ description: 'name of the new adapter' }),
  ...combineShape,
});

export const command = defineCommand({
  name: 'average',
  summary: 'make one adapter of several, by the mean of their parameters or of what they add',
  schema,
  async run(context, options) {
    const { files, stderr, stdout, json } = context;
    const { output, strategy, svdRank, name, format, adapter } = options;
    await checkNew(files, output);
    const { weights = adapter.map(() => 1 / adapter.length) } = options;
    const { model, names } = await openAdapters(context, options.model, adapter);
    const { svdClamp, density, majoritySign: majoritySignMethod, normalizeWeights } = options;
    const ofAdapters = STRATEGIES.find((one) => one === strategy);
    if (ofAdapters) {
      const other = Object.entries({ svdClamp, density, majoritySignMethod }).find(([, value]) => value !== undefined)?.[0];
      if (other !== undefined) fail({ code: 'usage.value', subject: other, found: 'a value', expected: `none for '${strategy}'` });
      await model.averageAdapter(name, names, {
        combineStrategy: ofAdapters,
        weights,
        normalizeWeights,
        ...defined({ svdRank }),
        overwriteOk: true,
      });
    } else {
      const combinationType = COMBINATIONS.find((one) => one === (strategy === FACTORS ? 'linear' : strategy)) ?? 'svd';
      const seed = combinationType.startsWith('dare') ? { seed: options.seed } : {};
      const how = { combinationType, ...seed, ...defined({ svdRank, svdClamp, density, majoritySignMethod }) };
      await model.addWeightedAdapter(name, names, weights, { ...how, overwriteOk: true });
    }
    let head = false;
    if (names.every((one) => model.heads.includes(one)))
      try {
        await model.averageHead(name, names, {
          weights,
          normalizeWeights: ofAdapters !== undefined && normalizeWeights,
          overwriteOk: true,
        });
        head = true;
      } catch (error) {
        if (!(error instanceof MultigraftError) || error.code !== 'head.config') throw error;
        stderr('note: The heads of the adapters differ: what is made has none. Train one, or load one of theirs beside it.');
      }
    await model.saveAdapter(output, name, { withHead: head, ...defined({ format }) });
    await model.release();
    const result = { name, strategy, adapters: adapter.map((folder, i) => ({ folder, weight: weights[i] })), head, output };
    stdout(
      json
        ? JSON.stringify(result)
        : `${adapter.length} adapters as one (${strategy})${head ? ', with the mean of their heads' : ''}. Saved in ${output}.`,
    );
  },
});
