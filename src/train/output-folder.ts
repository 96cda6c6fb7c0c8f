import { fail } from '../base/errors.ts';
import { type Files, folderOf, joinPath } from '../base/files.ts';
import type { Task } from '../tasks/index.ts';

export interface OutputUse {
  /** Folder of the encoder that is trained on. */
  readonly model: string;
  readonly task: Task;
  readonly resume?: boolean;
  /** An earlier result, finished or not, may be replaced. */
  readonly overwrite?: boolean;
}

/** What a run leaves behind: files of a finished one tell it from a folder of somebody else. */
const RESULTS = ['metrics.json', 'adapter_config.json', 'head_config.json'];
const WEIGHTS = /^(model|pytorch_model)[-\w]*\.(safetensors|bin)(\.index\.json)?$/;

/**
 * Refuses, before any work, a folder whose files a run would replace or mix with its own.
 * @throws usage.value
 */
export async function checkOutputFolder(files: Files, output: string, { model, task, resume, overwrite }: OutputUse): Promise<void> {
  const kind = await files.kind(output);
  if (kind === 'none') return;
  if (kind === 'file') refuse(output, 'a file');
  const names = await files.list(output);
  const place = await files.realPath(output);
  const taskFolders = await Promise.all(Object.values(task.files).map((file) => files.realPath(folderOf(file))));
  if ((await files.kind(model)) === 'folder' && place === (await files.realPath(model))) refuse(output, 'the folder of --model');
  if (names.includes('card.json')) refuse(output, 'a task folder');
  if (taskFolders.includes(place)) refuse(output, 'the folder of --task');

  const unfinished = (await files.kind(joinPath(output, 'state', 'state.json'))) === 'file';
  const finished = names.some((name) => RESULTS.includes(name));
  if (resume && (unfinished || finished)) return;
  const foreign = names.filter((name) => name !== 'state' && name !== 'log.jsonl' && !name.endsWith('.partial'));
  if (!unfinished && !names.includes('metrics.json') && names.includes('config.json') && names.some((name) => WEIGHTS.test(name)))
    refuse(output, 'the folder of an encoder');
  if (!unfinished && !finished && foreign.length > 0) refuse(output, `a folder with ${foreign.slice(0, 6).join(', ')}`);
  if (overwrite) return;
  if (unfinished) refuse(output, 'an unfinished run', 'Give --resume to go on, or --overwrite to start anew.');
  if (finished) refuse(output, 'the result of an earlier run', 'Give another folder, or --overwrite to replace it.');
}

function refuse(output: string, held: string, next = 'Give a new folder with --output.'): never {
  return fail({ code: 'usage.value', subject: '--output', found: `${output}, ${held}`, expected: 'a new or empty folder', next });
}
