import type { z } from 'zod';
import { defined, type Files, fail, joinPath, MultigraftError } from '../base/index.ts';
import { type Log, openLog } from './log.ts';
import { METRICS, recordWrites, removeEarlier } from './output-folder.ts';
import { notesTo, type RunOptions } from './run-options.ts';
import type { RunHooks } from './run-steps.ts';
import { type AnyProgress, runState, type SavedRun } from './state.ts';

/** A run with its output folder, which can be stopped and gone on with. `P` is its progress. */
interface OpenRun<P> {
  /** What is gone on with: absent in a new run, and in one that was ended before its first save. */
  readonly saved: SavedRun<P> | undefined;
  readonly logPath: string | undefined;
  /** Trains with hooks that keep log and state. A training that fails before its first step leaves no state. */
  train<R>(training: (hooks: RunHooks<SavedRun<P>>) => Promise<R>): Promise<R>;
  /** Writes the result and its card in place of what earlier runs have made; the state goes last. */
  finish(result: RunResult): Promise<void>;
}

interface RunResult {
  /** Writes what was learnt. */
  readonly save: (files: Files, output: string) => Promise<void>;
  /** For metrics.json. */
  readonly summary: object;
  readonly settings: object;
  /** For README.md. */
  readonly card: string;
}

/**
 * Opens the run that `options` describe. `decisive` is everything that decides its result, by name: it resumes with the same only.
 * @throws usage.value, train.resume
 */
export async function openRun<P extends AnyProgress>(
  options: RunOptions,
  decisive: Readonly<Record<string, unknown>>,
  progress: z.ZodType,
): Promise<OpenRun<P>> {
  const { files, output, signal } = options;
  const logPath = options.log ?? (output === undefined ? undefined : joinPath(output, 'log.jsonl'));
  const state = output === undefined ? undefined : runState<P>(files, output, decisive, progress);
  if (options.resume && !state)
    fail({ code: 'usage.value', subject: '--resume', found: 'no --output', expected: 'the folder of the run to resume' });
  const before = options.resume ? await state?.load() : undefined;
  return { saved: before?.saved, logPath, train, finish };

  async function train<R>(training: (hooks: RunHooks<SavedRun<P>>) => Promise<R>): Promise<R> {
    let log: Log | undefined;
    let begun = 'no' as 'no' | 'files' | 'steps';
    const hooks: RunHooks<SavedRun<P>> = {
      async begin() {
        if (!before && (await state?.begin())) notesTo(options)(`The unfinished run in ${output} is replaced.`);
        begun = 'files';
        log = logPath === undefined ? undefined : await openLog(files, logPath, before?.logLength ?? 0);
      },
      async onEvent(event) {
        begun = 'steps';
        await log?.write(event);
        options.onEvent?.(event);
      },
      ...(state && { save: async (saved) => state.save(saved, (await log?.length()) ?? 0) }),
      ...defined({ signal }),
    };
    try {
      return await training(hooks);
    } catch (error) {
      if (begun === 'files' && !before && !isStop(error)) await state?.remove();
      throw error;
    }
  }

  async function finish({ save, summary, settings, card }: RunResult): Promise<void> {
    if (output === undefined) return;
    const written = recordWrites(files);
    await save(written.files, output);
    const names = written.namesIn(output);
    await removeEarlier(files, output, names);
    await files.write(joinPath(output, METRICS), `${JSON.stringify({ ...summary, settings, files: names }, null, 1)}\n`);
    await files.write(joinPath(output, 'README.md'), card);
    await state?.remove();
    await removePartial(files, output);
  }
}

/** Whether a run was stopped from outside. Anything else that ends it before its first step leaves nothing to go on with. */
function isStop(error: unknown): boolean {
  return error instanceof MultigraftError && error.code === 'train.stopped';
}

/** Files that a kill left half-written under a name of their own. */
async function removePartial(files: Files, folder: string): Promise<void> {
  for (const name of await files.list(folder)) if (/\.\d+\.partial$/.test(name)) await files.remove(joinPath(folder, name));
}
