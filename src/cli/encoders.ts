import { z } from 'zod';
import { describeEncoders } from '../inspect/index.ts';
import { defineCommand } from './command.ts';
import { alignColumns, grouped } from './table.ts';

export const command = defineCommand({
  name: 'encoders',
  summary: 'list the encoder families that can be loaded',
  schema: z.object({}),
  async run(context) {
    const all = describeEncoders();
    const header = ['model_type', 'layers', 'hidden', 'heads', 'vocabulary', 'parameters', 'pooler', 'positions', 'in Python'];
    const lines = all.map(({ name, defaults, parameters, pooler, mostTokens, pythonClass }) => [
      name,
      String(defaults.layers),
      String(defaults.hidden),
      String(defaults.heads),
      grouped(defaults.vocabulary),
      grouped(parameters),
      pooler ? 'yes' : 'no',
      String(mostTokens),
      pythonClass,
    ]);
    const text = [
      ...alignColumns([header, ...lines], [1, 2, 3, 4, 5]),
      '',
      'Sizes are those of a config.json that leaves them out; every size is read. Weights: .safetensors or .bin, whole or in shards.',
    ];
    context.stdout(context.json ? JSON.stringify(all) : text.join('\n'));
  },
});
