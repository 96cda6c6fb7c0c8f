import { z } from 'zod';
import { defined } from '../base/index.ts';
import { pretrainEncoder, pretrainSettings } from '../train/index.ts';
import { defineCommand } from './command.ts';
import { trainingProgress } from './progress.ts';
import { engineOf, trainingShape } from './training-options.ts';

const schema = z.object({
  data: z.array(z.string()).meta({
    value: 'path',
    description: 'text to learn from: .txt files (a text a line) and task folders (their training rows); may be repeated',
  }),
  unseen: z
    .array(z.string())
    .default([])
    .meta({ value: 'folder', description: 'tasks whose validation and test texts must not be learnt from; may be repeated' }),
  output: z.string().meta({ value: 'folder', description: 'where the encoder goes' }),
  teacher: z
    .string()
    .optional()
    .meta({ value: 'folder', description: 'a larger encoder whose hidden states are to be matched, instead of guessing masked words' }),
  init: z
    .string()
    .optional()
    .meta({ value: 'folder', description: 'an encoder of the same sizes to go on from: its weights and its vocabulary are kept' }),
  ...pretrainSettings.shape,
  threads: trainingShape.threads,
  resume: trainingShape.resume,
  overwrite: trainingShape.overwrite.meta({ description: 'replace an earlier encoder, or an unfinished run, in --output' }),
});

export const command = defineCommand({
  name: 'pretrain',
  summary: 'make a small encoder from plain text: by guessing masked words, or by learning from a larger encoder',
  schema,
  async run(context, options) {
    const { data, unseen, output, teacher, init, resume, overwrite } = options;
    const engine = await engineOf(options);
    const progress = trainingProgress(context, undefined);
    try {
      const { texts, dropped } = await pretrainEncoder({
        files: context.files,
        engine,
        data,
        unseen,
        output,
        resume,
        overwrite,
        settings: pretrainSettings.parse(options),
        ...defined({ teacher, init }),
        onEvent: progress.onEvent,
        signal: context.signal,
      });
      progress.stop();
      context.stdout(context.json ? JSON.stringify({ output, steps: options.steps, texts, dropped }) : `Saved in ${output}`);
    } finally {
      progress.stop();
    }
  },
});
