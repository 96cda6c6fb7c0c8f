import { type Files, fail, folderOf, joinPath } from '../base/index.ts';
import { isJsonObject, readJson } from '../formats/json.ts';
import type { Task } from '../tasks/index.ts';
import { TOKENIZER_FILES } from '../text/index.ts';

/** Whether what an earlier run left may be gone on with, or replaced: one of the two at most. */
export interface Earlier {
  readonly resume?: boolean;
  /** An earlier result, finished or not, may be replaced. */
  readonly overwrite?: boolean;
}

interface OutputUse extends Earlier {
  /** Folder of the encoder that is trained on. */
  readonly model: string;
  readonly task: Task;
}

interface PretrainOutputUse extends Earlier {
  /** Texts and task folders that are learnt from. */
  readonly data: readonly string[];
  readonly unseen: readonly string[];
  /** Folder of the encoder that is learnt from. */
  readonly teacher?: string;
}

export const METRICS = 'metrics.json';
/** What commands add to a result, beside what its run lists. */
const ADDED = ['attention.svg', 'attention.png', 'choice.json', 'sampling.svg', 'sampling.png'];
/** What a run leaves behind: files of a finished one tell it from a folder of somebody else. */
const RESULTS = [METRICS, 'adapter_config.json', 'head_config.json'];
const WEIGHTS = /^(model|pytorch_model)[-\w]*\.(safetensors|bin)(\.index\.json)?$/;
/** What a pretraining has written before its first save: the log is there from the first moment on. */
const BEGUN = ['log.jsonl', 'config.json', ...TOKENIZER_FILES];
/** What a pretraining goes on from. */
export const PRETRAIN_STATE = 'state.safetensors';

/**
 * Refuses, before any work, a folder whose files a training would replace or mix with its own.
 * @throws usage.value
 */
export async function checkOutputFolder(files: Files, output: string, { model, task, ...earlier }: OutputUse): Promise<void> {
  checkEarlier(earlier);
  const names = await namesIn(files, output);
  if (names === undefined) return;
  if (await isPlace(files, output, model)) refuse(output, 'the folder of --model');
  if (names.includes('card.json')) refuse(output, 'a task folder');
  for (const file of Object.values(task.files)) if (await isPlace(files, output, folderOf(file))) refuse(output, 'the folder of --task');

  const unfinished = (await files.kind(joinPath(output, 'state', 'state.json'))) === 'file';
  const finished = names.some((name) => RESULTS.includes(name));
  if (earlier.resume && (unfinished || finished)) return;
  const foreign = names.filter((name) => name !== 'state' && name !== 'log.jsonl' && !name.endsWith('.partial'));
  if (!unfinished && !names.includes(METRICS) && isEncoder(names)) refuse(output, 'the folder of an encoder');
  if (!unfinished && !finished && foreign.length > 0) refuse(output, `a folder with ${foreign.slice(0, 6).join(', ')}`);
  checkReplaced(output, { unfinished, finished }, earlier);
}

/**
 * Refuses, before any work, a folder whose files a pretraining would replace or mix with its own.
 * @throws usage.value
 */
export async function checkPretrainOutput(files: Files, output: string, use: PretrainOutputUse): Promise<void> {
  checkEarlier(use);
  const names = await namesIn(files, output);
  if (names === undefined) return;
  if (use.teacher !== undefined && (await isPlace(files, output, use.teacher))) refuse(output, 'the folder of --teacher');
  if (names.includes('card.json')) refuse(output, 'a task folder');
  for (const [flag, paths] of Object.entries({ '--data': use.data, '--unseen': use.unseen }))
    for (const path of paths) if (await isPlace(files, output, path)) refuse(output, `a folder of ${flag}`);

  const pretrained = names.includes('log.jsonl') && !RESULTS.some((name) => names.includes(name));
  const unfinished = pretrained && names.includes(PRETRAIN_STATE);
  const finished = pretrained && !unfinished && isEncoder(names);
  if (use.resume && (unfinished || finished)) return;
  const foreign = pretrained ? names.filter((name) => !BEGUN.includes(name) && !name.endsWith('.partial')) : names;
  if (!pretrained && isEncoder(names)) refuse(output, 'the folder of an encoder');
  if (!unfinished && !finished && foreign.length > 0) refuse(output, `a folder with ${foreign.slice(0, 6).join(', ')}`);
  checkReplaced(output, { unfinished, finished }, use);
}

/**
 * Removes what an earlier run wrote into `output` and the folders in it, by the list in its metrics, and the new one did not: the
 * adapter of another method, the weights of another layout. Files that no run wrote stay.
 */
export async function removeEarlier(files: Files, output: string, written: readonly string[]): Promise<void> {
  const root = joinPath(output).replace(/(?<=.)\/$/, '');
  const path = joinPath(output, METRICS);
  if ((await files.kind(path)) === 'none') return;
  // What cannot be read lists nothing; it is about to be replaced.
  const metrics = await readJson(files, path).catch(() => null);
  const listed = isJsonObject(metrics) && Array.isArray(metrics.files) ? metrics.files : [];
  for (const name of [...listed, ...ADDED]) {
    // A list is hostile until checked: no step up, and no link that leads elsewhere.
    if (typeof name !== 'string' || !name.split('/').every(isPlainName) || written.includes(name)) continue;
    const old = joinPath(root, name);
    const folder = folderOf(old);
    if ((await files.kind(old)) !== 'file') continue;
    if ((await files.realPath(folder)) !== joinPath(await files.realPath(root), folder.slice(root.length))) continue;
    await files.remove(old);
    if (folder !== root && (await files.list(folder)).length === 0) await files.remove(folder);
  }
}

/** Whether a part of a path leads down, by one step. */
function isPlainName(part: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return /^[^.\\\u0000-\u001f\u007f][^\\\u0000-\u001f\u007f]*$/.test(part);
}

/** The same files, and those that are written into a folder and the folders in it, by their paths from there, in order. */
export function recordWrites(files: Files): { readonly files: Files; namesIn(folder: string): string[] } {
  const paths = new Set<string>();
  return {
    files: {
      read: (path) => files.read(path),
      readRange: (path, start, end) => files.readRange(path, start, end),
      size: (path) => files.size(path),
      kind: (path) => files.kind(path),
      list: (path) => files.list(path),
      append: (path, bytes) => files.append(path, bytes),
      rename: (from, to) => files.rename(from, to),
      truncate: (path, length) => files.truncate(path, length),
      remove: (path) => files.remove(path),
      realPath: (path) => files.realPath(path),
      write(path, bytes) {
        paths.add(path);
        return files.write(path, bytes);
      },
    },
    namesIn: (folder) =>
      [...paths]
        .map((path) => joinPath(path))
        .filter((path) => path.startsWith(joinPath(folder, '/')))
        .map((path) => path.slice(joinPath(folder, '/').length))
        .sort(),
  };
}

function checkEarlier({ resume, overwrite }: Earlier): void {
  if (resume && overwrite)
    fail({
      code: 'usage.value',
      subject: '--resume',
      found: 'it together with --overwrite',
      expected: 'one of them',
      next: '--resume goes on with the unfinished run in --output, --overwrite starts anew.',
    });
}

/** The names in a folder; undefined where there is nothing yet. @throws usage.value for a file */
async function namesIn(files: Files, output: string): Promise<string[] | undefined> {
  const kind = await files.kind(output);
  if (kind === 'file') refuse(output, 'a file');
  return kind === 'none' ? undefined : files.list(output);
}

async function isPlace(files: Files, output: string, folder: string): Promise<boolean> {
  return (await files.kind(folder)) === 'folder' && (await files.realPath(output)) === (await files.realPath(folder));
}

function isEncoder(names: readonly string[]): boolean {
  return names.includes('config.json') && names.some((name) => WEIGHTS.test(name));
}

function checkReplaced(output: string, held: { unfinished: boolean; finished: boolean }, { overwrite }: Earlier): void {
  if (overwrite) return;
  if (held.unfinished) refuse(output, 'an unfinished run', 'Give --resume to go on, or --overwrite to start anew.');
  if (held.finished) refuse(output, 'the result of an earlier run', 'Give another folder, or --overwrite to replace it.');
}

function refuse(output: string, held: string, next = 'Give a new folder with --output.'): never {
  return fail({ code: 'usage.value', subject: '--output', found: `${output}, ${held}`, expected: 'a new or empty folder', next });
}
