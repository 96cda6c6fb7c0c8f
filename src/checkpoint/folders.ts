import { type Files, joinPath } from '../base/index.ts';
import { readWeightIndex } from '../encoders/index.ts';
import { isJsonObject, type Json } from '../formats/json.ts';
import type { TensorIndex } from '../formats/safetensors.ts';

/** Lists the tasks of a model that keeps a folder for each. */
export const MULTI_TASK_CONFIG = 'multitask_config.json';
/** Of a CA-MTL model: its plan and its tasks. */
export const CA_MTL_CONFIG = 'ca_mtl_config.json';

/** The tensors of a checkpoint of CA-MTL's published code, which its decoders tell; undefined for any other folder. */
export async function publishedCaMtl(files: Files, folder: string): Promise<TensorIndex | undefined> {
  if ((await files.kind(joinPath(folder, 'config.json'))) !== 'file') return undefined;
  if ((await files.kind(joinPath(folder, CA_MTL_CONFIG))) === 'file') return undefined;
  // What cannot be read is for those to tell who load it.
  const index = await readWeightIndex(files, folder).catch(() => undefined);
  return index?.tensors.has('decoders.0.model.weight') ? index : undefined;
}

/** Names of tasks in the `ca_mtl` block of a published checkpoint's config.json; none without one. */
export function publishedTasks(block: Json | undefined): unknown[] {
  const tasks = isJsonObject(block) && Array.isArray(block.tasks) ? block.tasks : [];
  return tasks.map((task) => (isJsonObject(task) ? task.name : undefined));
}
