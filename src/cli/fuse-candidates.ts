import { defined, type Files, fail, joinPath } from '../base/index.ts';
import { ADAPTER_CONFIG } from '../checkpoint/index.ts';
import { type AdapterChoice, type ChooseOptions, chooseAdapters, type TrainSettings } from '../train/index.ts';
import type { CommandContext } from './command.ts';
import { countProgress } from './count-progress.ts';

/** The folders of all adapters that may be fused. @throws usage.flag, file.missing */
export async function candidatesOf(
  files: Files,
  { adapter, shelf, choose: count }: { adapter: readonly string[]; shelf?: string | undefined; choose?: number | undefined },
): Promise<string[]> {
  const all = [...adapter];
  for (const name of shelf === undefined ? [] : await files.list(shelf)) {
    const folder = joinPath(shelf as string, name);
    if ((await files.kind(joinPath(folder, ADAPTER_CONFIG))) === 'file') all.push(folder);
  }
  if (all.length >= 2 || (count === 1 && all.length === 1)) return all;
  return fail({
    code: 'usage.flag',
    subject: shelf === undefined ? '--adapter' : `--shelf ${shelf}`,
    found: all.length === 0 ? 'none' : 'one adapter',
    expected: 'two or more adapters to mix',
    next: 'Train them with multigraft train, one for each task, and give --adapter FOLDER for each.',
  });
}

/** @throws usage.value */
export async function choose(
  context: CommandContext,
  count: number,
  {
    settings,
    candidates,
    ...common
  }: Omit<ChooseOptions, 'adapters' | 'count'> & { settings: TrainSettings; candidates: readonly string[] },
): Promise<AdapterChoice> {
  const progress = await countProgress(context, 'adapters looked at');
  try {
    const { maxLength, seed } = settings;
    const { onProgress } = progress;
    return await chooseAdapters({
      ...common,
      adapters: candidates,
      count,
      seed,
      ...defined({ maxLength }),
      onProgress,
      signal: context.signal,
    });
  } finally {
    progress.stop();
  }
}
