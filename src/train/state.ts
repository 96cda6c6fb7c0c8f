import { z } from 'zod';
import { type Files, fail, joinPath, type Tensor } from '../base/index.ts';
import { readJson } from '../formats/json.ts';
import { readSafetensors, writeSafetensors } from '../formats/safetensors.ts';
import { count } from './progress.ts';

/**
 * What a run keeps on disk so that it can be killed at any moment: `state/state.json` names the files that belong to it.
 * Files are written first and state.json last, each atomically, so state.json always speaks of complete files.
 */
const stateSchema = <P extends z.ZodType>(progress: P) =>
  z.object({
    version: z.literal(1),
    /** Null until the first save: a run killed before it starts over. */
    saved: z
      .object({
        progress,
        parameters: z.string().regex(/^parameters-\d+\.safetensors$/),
        best: z
          .string()
          .regex(/^best-\d+\.safetensors$/)
          .nullable(),
      })
      .nullable(),
    /** Bytes of the log that belong to this state; what was logged later is cut off at resume. */
    logLength: count,
    /** What the run was started with. */
    settings: z.record(z.string(), z.unknown()),
  });

/** Where a run stands, beside its tensors: plain data, in which `best` may be absent. */
export interface AnyProgress {
  readonly step: number;
  readonly best: { readonly step: number } | undefined;
}

/** What is saved of a run whose progress is `P`. */
export interface SavedRun<P> {
  readonly progress: P;
  readonly parameters: ReadonlyMap<string, Tensor>;
  readonly best: ReadonlyMap<string, Tensor> | undefined;
}

interface StateFile {
  readonly version: 1;
  readonly saved: { readonly progress: { readonly best: unknown }; readonly parameters: string; readonly best: string | null } | null;
  readonly logLength: number;
  readonly settings: Readonly<Record<string, unknown>>;
}

const FOLDER = 'state';
const ANEW = 'Start anew without --resume.';

interface RunState<P> {
  /** Starts a run: an earlier unfinished one is removed. Returns whether there was one. */
  begin(): Promise<boolean>;
  save(saved: SavedRun<P>, logLength: number): Promise<void>;
  /** `saved` is absent where the run was ended before its first save. Throws `train.resume` when nothing can be resumed or the settings differ. */
  load(): Promise<{ readonly saved: SavedRun<P> | undefined; readonly logLength: number }>;
  remove(): Promise<void>;
}

/**
 * The state of the run that goes to `output`. `settings` is everything that decides the result: a run resumes with the same only.
 * `schema` describes its progress as it lies in the file, with null for an absent `best`.
 */
export function runState<P extends AnyProgress>(
  files: Files,
  output: string,
  settings: Readonly<Record<string, unknown>>,
  schema: z.ZodType,
): RunState<P> {
  const folder = joinPath(output, FOLDER);
  const path = joinPath(folder, 'state.json');
  const write = (saved: StateFile['saved'], logLength: number) =>
    files.write(path, `${JSON.stringify({ version: 1, saved, logLength, settings } satisfies StateFile, null, 1)}\n`);

  return {
    async begin() {
      const unfinished = (await files.kind(path)) === 'file';
      await remove();
      await write(null, 0);
      return unfinished;
    },
    async save({ progress, parameters, best }, logLength) {
      const names = {
        parameters: `parameters-${progress.step}.safetensors`,
        best: best && progress.best ? `best-${progress.best.step}.safetensors` : null,
      };
      await files.write(joinPath(folder, names.parameters), writeSafetensors(parameters));
      if (best && names.best && (await files.kind(joinPath(folder, names.best))) === 'none')
        await files.write(joinPath(folder, names.best), writeSafetensors(best));
      await write({ progress: { ...progress, best: progress.best ?? null }, ...names }, logLength);
      await keepOnly(['state.json', names.parameters, ...(names.best ? [names.best] : [])]);
    },
    async load() {
      const { saved, logLength, settings: before } = await readState();
      compareSettings(before, settings, path);
      if (saved === null) return { saved: undefined, logLength };
      const { progress } = saved;
      const parameters = await readTensors(saved.parameters);
      const best = saved.best === null ? undefined : await readTensors(saved.best);
      return { saved: { progress: { ...progress, best: progress.best ?? undefined } as P, parameters, best }, logLength };
    },
    remove,
  };

  async function readState(): Promise<StateFile> {
    if ((await files.kind(path)) === 'none') {
      const finished = (await files.kind(joinPath(output, 'metrics.json'))) === 'file';
      return fail({
        code: 'train.resume',
        subject: output,
        found: finished ? 'a run that is finished' : 'no unfinished run',
        expected: `${FOLDER}/state.json`,
        next: finished
          ? 'There is nothing left to do; with --overwrite instead of --resume it is trained anew.'
          : 'Start without --resume.',
      });
    }
    const raw = await damagedUnless(path, () => readJson(files, path));
    const state = stateSchema(schema).safeParse(raw);
    if (state.success) return state.data as StateFile;
    const issue = state.error.issues[0];
    return fail({
      code: 'train.resume',
      subject: `${path}: ${issue?.path.join('.') || 'the whole'}`,
      found: issue?.message ?? 'another form',
      expected: 'a state as this version writes it',
      next: ANEW,
    });
  }

  async function readTensors(name: string): Promise<ReadonlyMap<string, Tensor>> {
    const file = joinPath(folder, name);
    return (await damagedUnless(file, () => readSafetensors(files, file))).tensors;
  }

  /** state.json goes first: without it nothing else counts, so a removal may be cut short. */
  async function remove(): Promise<void> {
    await files.remove(path);
    await files.remove(folder);
  }

  async function keepOnly(names: readonly string[]): Promise<void> {
    for (const name of await files.list(folder)) if (!names.includes(name)) await files.remove(joinPath(folder, name));
  }
}

/** Reads; whatever is wrong with the file is a reason why nothing can be resumed. */
export async function damagedUnless<T>(path: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (cause) {
    return fail({
      code: 'train.resume',
      subject: path,
      found: `a damaged file (${cause instanceof Error ? cause.message : String(cause)})`,
      next: ANEW,
      cause,
    });
  }
}

/** Throws `train.resume` naming the first setting that differs from the saved one. */
export function compareSettings(saved: Readonly<Record<string, unknown>>, now: Readonly<Record<string, unknown>>, path: string): void {
  for (const key of new Set([...Object.keys(saved), ...Object.keys(now)])) {
    const [before, after] = [JSON.stringify(saved[key]), JSON.stringify(now[key])];
    if (before !== after)
      fail({
        code: 'train.resume',
        subject: `${path}: ${key}`,
        found: `${after ?? 'nothing'} now`,
        expected: `${before ?? 'nothing'}, as in the run that is resumed`,
        next: 'Resume with the settings and data of the first command, or start anew without --resume.',
      });
  }
}
