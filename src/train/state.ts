import { fail } from '../base/errors.ts';
import { type Files, joinPath } from '../base/files.ts';
import type { Tensor } from '../base/tensor.ts';
import { isJsonObject, readJson } from '../formats/json.ts';
import { readSafetensors, writeSafetensors } from '../formats/safetensors.ts';
import type { Progress, Saved } from './trainer.ts';

/**
 * What a run keeps on disk so that it can be killed at any moment: `state/state.json` names the files that belong to it.
 * Files are written first and state.json last, each atomically, so state.json always speaks of complete files.
 */
interface StateFile {
  readonly version: 1;
  readonly progress: Progress;
  readonly parameters: string;
  readonly best: string | null;
  /** Bytes of the log that belong to this state; what was logged later is cut off at resume. */
  readonly logLength: number;
  /** The settings the run was started with. */
  readonly settings: Readonly<Record<string, unknown>>;
}

const FOLDER = 'state';

export interface RunState {
  save(saved: Saved, logLength: number): Promise<void>;
  /** Throws `train.resume` when there is nothing to resume or the settings differ. */
  load(): Promise<Saved & { logLength: number }>;
  exists(): Promise<boolean>;
  remove(): Promise<void>;
}

export function runState(files: Files, output: string, settings: Readonly<Record<string, unknown>>): RunState {
  const folder = joinPath(output, FOLDER);
  const path = joinPath(folder, 'state.json');
  return {
    async save({ progress, parameters, best }, logLength) {
      const names = { parameters: `parameters-${progress.step}.safetensors`, best: best && progress.best ? `best-${progress.best.step}.safetensors` : null };
      await files.write(joinPath(folder, names.parameters), writeSafetensors(parameters));
      if (best && names.best && (await files.kind(joinPath(folder, names.best))) === 'none') await files.write(joinPath(folder, names.best), writeSafetensors(best));
      const state: StateFile = { version: 1, progress, ...names, logLength, settings };
      await files.write(path, `${JSON.stringify(state, null, 1)}\n`);
      const kept = new Set<string | null>(['state.json', names.parameters, names.best]);
      for (const name of await files.list(folder)) if (!kept.has(name)) await files.remove(joinPath(folder, name));
    },
    async load() {
      if ((await files.kind(path)) === 'none')
        return fail({ code: 'train.resume', subject: output, found: 'no unfinished run', expected: `${FOLDER}/state.json`, next: 'Start without --resume.' });
      const state = await readJson(files, path);
      if (!isJsonObject(state) || state.version !== 1) return fail({ code: 'train.resume', subject: path, found: 'another format', expected: 'version 1', next: 'Start anew without --resume.' });
      const typed = state as unknown as StateFile;
      compareSettings(typed.settings, settings, path);
      const { tensors } = await readSafetensors(files, joinPath(folder, typed.parameters));
      const best = typed.best === null ? undefined : (await readSafetensors(files, joinPath(folder, typed.best))).tensors;
      return { progress: typed.progress, parameters: tensors as ReadonlyMap<string, Tensor>, best, logLength: typed.logLength };
    },
    exists: async () => (await files.kind(path)) === 'file',
    remove: () => files.remove(folder),
  };
}

function compareSettings(saved: Readonly<Record<string, unknown>>, now: Readonly<Record<string, unknown>>, path: string): void {
  for (const key of new Set([...Object.keys(saved), ...Object.keys(now)])) {
    const [before, after] = [JSON.stringify(saved[key]), JSON.stringify(now[key])];
    if (before !== after)
      fail({ code: 'train.resume', subject: `${path}: ${key}`, found: `${after} now`, expected: `${before}, as in the run that is resumed`, next: 'Resume with the settings of the first command, or start anew without --resume.' });
  }
}
