import { z } from 'zod';
import { AutoAdapterModel } from '../auto-adapter-model/index.ts';
import { baseName, type Files, fail, joinPath } from '../base/index.ts';
import { asName } from '../checkpoint/index.ts';
import { encoderFolder, isNews } from './assets.ts';
import type { CommandContext } from './command.ts';

/** The flags of commands that make adapters out of adapters. */
export const combineShape = {
  model: z
    .string()
    .optional()
    .meta({ value: 'folder', description: 'encoder that the adapters were made for (default: the embedded seedling)' }),
  output: z.string().meta({ value: 'folder', description: 'a new folder for what is made' }),
  format: z.enum(['bin', 'safetensors']).optional().meta({ description: 'weight files (default: the usual ones of the layout)' }),
};

/** What people wrote about an adapter. */
const CARDS = ['README.md', 'metrics.json'];

/** @throws usage.value for a folder that exists */
export async function checkNew(files: Files, output: string): Promise<void> {
  if ((await files.kind(output)) !== 'none')
    fail({ code: 'usage.value', subject: '--output', found: `${output}, which exists`, expected: 'a new folder' });
}

/** The encoder with saved adapters; those of one name are told apart by numbers. Returns their names here, in order. */
export async function openAdapters(
  { files, stderr }: CommandContext,
  folder: string | undefined,
  adapters: readonly string[],
): Promise<{ readonly model: AutoAdapterModel; readonly names: readonly string[] }> {
  const model = await AutoAdapterModel.fromPretrained(await encoderFolder(files, folder), { files });
  const names: string[] = [];
  for (const [i, path] of adapters.entries()) {
    const own = asName(baseName(path));
    names.push(await model.loadAdapter(path, { loadAs: model.adapters.includes(own) ? `${own}-${i + 1}` : own, setActive: false }));
  }
  for (const note of model.notes.filter((text) => isNews(text, folder))) stderr(`note: ${note}`);
  return { model, names };
}

/** Card and metrics of a folder go along where what is made answers as it did. */
export async function copyCards(files: Files, from: string, to: string): Promise<void> {
  for (const name of CARDS)
    if ((await files.kind(joinPath(from, name))) === 'file') await files.write(joinPath(to, name), await files.read(joinPath(from, name)));
}
