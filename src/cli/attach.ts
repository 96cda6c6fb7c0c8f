import { z } from 'zod';
import { AutoAdapterModel } from '../auto-adapter-model/index.ts';
import { fail, joinPath } from '../base/index.ts';
import { FUSION_CONFIG, SETUP_CONFIG } from '../checkpoint/index.ts';
import { type Composition, parseComposition } from '../methods/index.ts';
import { isMultiTask, loadMultiTask, type SavedMultiTask } from '../train/index.ts';
import { encoderFolder, isNews, modelFolder } from './assets.ts';
import type { CommandContext } from './command.ts';
import { engineOf } from './training-options.ts';

/** The flags that say which model answers; spread them into a command's schema. */
export const modelShape = {
  model: z
    .string()
    .optional()
    .meta({ value: 'folder', description: 'encoder, or a whole model: fine-tuned, or of several tasks (default: the embedded seedling)' }),
  adapter: z.array(z.string()).default([]).meta({
    value: 'folder',
    description: 'a saved adapter with its head, a saved head alone, or the folder of several tasks; predict: several times',
  }),
  fusion: z.array(z.string()).default([]).meta({ value: 'folder', description: 'a saved fusion of adapters that are given beside it' }),
  setup: z.string().optional().meta({
    value: 'setup',
    description: 'what the adapters are put together to, "Stack(language, task)" by their names, or the folder of a saved setup',
  }),
  skipLayers: z.array(z.number().int()).default([]).meta({
    commas: true,
    description: 'layers, counted from 0, in which the adapters do nothing; 0,1,2 for several',
  }),
  head: z.array(z.string()).default([]).meta({
    value: 'name',
    description:
      'which of the loaded heads answers (default: that of the adapter); a,b for one for each adapter of a setup, or several for all rows',
  }),
  maxLength: z.number().int().min(3).optional().meta({
    description: 'tokens per sequence; longer inputs are cut (default: as in training; 128, or 384 for spans, where that is not known)',
  }),
  threads: z.number().int().positive().optional().meta({ description: 'threads of the engine (default: all cores)' }),
};

const schema = z.object(modelShape);

/** Opens the model of several tasks that the flags name, where they name one; --model is the encoder of adapters. @throws usage.value */
export async function openMultiTask(
  { files, stderr }: CommandContext,
  { model, adapter, head, fusion, setup, skipLayers }: z.output<typeof schema>,
): Promise<SavedMultiTask | undefined> {
  const several = (folder: string | undefined) => folder !== undefined && isMultiTask(files, folder);
  const [only] = adapter;
  const folder = adapter.length === 1 && (await several(only)) ? only : adapter.length === 0 && (await several(model)) ? model : undefined;
  if (folder === undefined) return undefined;
  if (head.length > 0)
    fail({
      code: 'usage.value',
      subject: '--head',
      found: `${head.join(', ')}, for a model of several tasks`,
      expected: 'rows that name their "task"',
    });
  for (const [flag, given] of Object.entries({ '--fusion': fusion[0], '--setup': setup, '--skip-layers': skipLayers[0] }))
    if (given !== undefined)
      fail({
        code: 'usage.value',
        subject: flag,
        found: `${given}, for a model of several tasks`,
        expected: 'adapters, which it is not made of',
      });
  const encoder = folder === model ? {} : { model: await modelFolder(files, model) };
  const saved = await loadMultiTask(files, folder, encoder);
  for (const note of saved.notes.filter((text) => isNews(text, model))) stderr(`note: ${note}`);
  return saved;
}

export type ModelFlags = z.output<typeof schema>;

/** Opens the model that the flags of {@link modelShape} describe; what a user should know goes to stderr. */
export async function openModel(context: CommandContext, options: ModelFlags): Promise<AutoAdapterModel> {
  const { files } = context;
  const { adapter, head, fusion, setup, skipLayers } = options;
  const composed = setup ?? fusion[0];
  if (adapter.length > 1 && composed === undefined)
    fail({
      code: 'usage.value',
      subject: '--adapter',
      found: `${adapter.length} adapters`,
      expected: 'one',
      next: 'Say with --setup what they are put together to, mix them with multigraft fuse, or run the command once for each.',
    });
  const model = await openEncoder(context, options);
  const saved = setup !== undefined && (await files.kind(joinPath(setup, SETUP_CONFIG))) === 'file';
  if (adapter.length === 0 && !saved && model.activeHead === undefined)
    fail({
      code: 'usage.flag',
      subject: '--adapter',
      found: 'none, and an encoder without a prediction head',
      expected: 'the folder of a trained adapter',
      next: 'Train one with multigraft train --output FOLDER, and give --adapter FOLDER.',
    });
  for (const path of adapter) await openFolder(context, model, path);
  for (const path of fusion) await model.loadAdapterFusion(path);
  if (saved) await model.loadAdapterSetup(setup);
  const composition = setup === undefined || saved ? model.activeAdapters : parseComposition(setup);
  if (setup !== undefined || skipLayers.length > 0) model.setActiveAdapters(composition, { skipLayers });
  // A head may have the name of a fusion, which has commas in it.
  if (head.length > 0) model.activeHead = head.flatMap((name) => (model.heads.includes(name) ? [name] : name.split(',')));
  tellNotes(context, model, options);
  return model;
}

/** The encoder of the flags, with its own head if it has one. */
export async function openEncoder({ files }: CommandContext, options: ModelFlags): Promise<AutoAdapterModel> {
  const folder = await encoderFolder(files, options.model);
  return AutoAdapterModel.fromPretrained(folder, { files, engine: await engineOf(options) });
}

/** Opens what `--adapter` names, and makes it the active one; undefined for a head alone. */
export async function openFolder({ files }: CommandContext, model: AutoAdapterModel, path: string): Promise<Composition | undefined> {
  const headAlone =
    (await files.kind(joinPath(path, 'adapter_config.json'))) === 'none' &&
    (await files.kind(joinPath(path, 'head_config.json'))) === 'file';
  const fused = (await files.kind(joinPath(path, FUSION_CONFIG))) === 'file';
  if (fused && (await files.kind(joinPath(path, SETUP_CONFIG))) === 'none')
    fail({
      code: 'usage.value',
      subject: '--adapter',
      found: `${path}, a fusion without its adapters`,
      expected: 'the folder that multigraft fuse made, which holds both',
      next: 'Give the folder above.',
    });
  if (!headAlone)
    return (await files.kind(joinPath(path, SETUP_CONFIG))) === 'file' ? model.loadAdapterSetup(path) : model.loadAdapter(path);
  await model.loadHead(path);
  return undefined;
}

export function tellNotes({ stderr }: CommandContext, { notes }: AutoAdapterModel, { model }: ModelFlags): void {
  for (const note of notes.filter((text) => isNews(text, model))) stderr(`note: ${note}`);
}
