import type { Files } from '../base/index.ts';
import type { TrainEvent } from './settings.ts';

/** Steps and evaluations, one JSON object a line. */
export interface Log {
  write(event: TrainEvent): Promise<void>;
  /** Bytes so far. */
  length(): Promise<number>;
}

/**
 * A log that begins anew, or goes on after the `length` bytes that belong to the resumed state: what a run wrote after
 * its last save is cut off, be it half a line.
 */
export async function openLog(files: Files, path: string, length: number): Promise<Log> {
  if (length === 0 || (await files.kind(path)) === 'none') await files.write(path, '');
  else await cut(files, path, length);
  return {
    async write({ type, ...event }) {
      if (type === 'note') return;
      const { steps: _steps, secondsLeft: _left, ...kept } = event as Record<string, unknown>;
      await files.append(path, `${JSON.stringify(kept)}\n`);
    },
    length: () => files.size(path),
  };
}

/** A log shorter than the state knows has lost lines (a power cut: states are synced, logs are not): whole lines stay. */
async function cut(files: Files, path: string, length: number): Promise<void> {
  const size = await files.size(path);
  if (size >= length) return files.truncate(path, length);
  await files.truncate(path, (await files.read(path)).lastIndexOf(0x0a) + 1);
}
