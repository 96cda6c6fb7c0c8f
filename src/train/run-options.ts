import type { Files } from '../base/index.ts';
import type { Engine } from '../session/session.ts';
import type { Earlier } from './output-folder.ts';
import type { TrainEvent } from './settings.ts';

/** What all runs have in common that read folders and write one. */
export interface RunOptions extends Earlier {
  readonly files: Files;
  readonly engine: Engine;
  /** Folder of the encoder. */
  readonly model: string;
  /** Where everything goes; nothing is written without it. */
  readonly output?: string;
  /** Where steps and evaluations are logged, one JSON object a line; log.jsonl in `output` when left out. */
  readonly log?: string;
  readonly onEvent?: (event: TrainEvent) => void;
  readonly signal?: AbortSignal;
}

/** Tells `onEvent` what a user should know. */
export function notesTo({ onEvent }: Pick<RunOptions, 'onEvent'>): (text: string) => void {
  return (text) => onEvent?.({ type: 'note', text });
}
