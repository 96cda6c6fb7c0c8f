import { answerableRows, isUnpaired, taskOfHead } from '../model/head-task.ts';
import { prepare } from '../model/prepare.ts';
import type { Unit } from '../objectives/index.ts';
import { rowInWords } from '../predict/words.ts';
import type { Place, PredictionRow } from '../tasks/index.ts';
import type { AttachedHead } from './attached.ts';
import { type ModelState, tokensFor } from './model-state.ts';
import type { PredictOptions } from './options.ts';

/** What answers a row. */
export interface RowChoice {
  /** What the row may say in its column "adapter". */
  readonly name: string;
  readonly head: AttachedHead;
  /** What its units are given. */
  readonly task?: number;
  readonly heads?: readonly number[];
}

/** Where a row stands, for messages. */
export function placeOf({ place }: Pick<PredictOptions, 'place'>): (index: number) => Place {
  return place ?? ((index) => ({ file: 'rows', line: index + 1 }));
}

/** Rows of several heads as each row's own can answer it, and their units. @throws task.row, task.label, text.too-long naming the row */
export function rowsOfHeads(
  state: ModelState,
  rows: readonly Readonly<Record<string, unknown>>[],
  choices: readonly RowChoice[],
  options: PredictOptions,
): { readonly checked: PredictionRow[]; readonly units: Unit[] } {
  const { tokenizer, encoder } = state;
  const columns = options.columns ?? {};
  const checked: PredictionRow[] = [];
  const units: Unit[] = [];
  const place = placeOf(options);
  let [cut, split, unpaired] = [0, false, 0];
  rows.forEach((row, i) => {
    const { head, name, task: number, heads } = choices[i] as RowChoice;
    const task = { ...taskOfHead(head), columns };
    const tokens = tokensFor(state, head, options.maxLength);
    const words = rowInWords(row, head.kind, columns);
    split ||= words !== undefined;
    const answering = { task, head, adapter: name, vocabulary: encoder.config.vocabulary, tokens };
    const [typed] = answerableRows([words ?? row], answering, () => place(i)) as [PredictionRow];
    const made = prepare([typed], { task, tokenizer, maxLength: tokens, kind: head.kind });
    cut += made.truncated;
    unpaired += Number(head.training?.textPairs === true && isUnpaired(typed));
    checked.push(typed);
    const given = { row: i, ...(number !== undefined && { task: number }), ...(heads && { heads }) };
    units.push(...made.units.map((unit) => ({ ...unit, ...given })));
  });
  if (split)
    options.onNote?.('Texts were split at white space for heads that answer one word at a time. Give "tokens" to split them yourself.');
  if (unpaired > 0)
    options.onNote?.(
      `Rows without "${columns.textPair ?? 'textPair'}", whose heads learnt from pairs, are answered from one text: ${unpaired}.`,
    );
  if (cut > 0) options.onNote?.(`${cut} of ${rows.length} rows are longer than their heads allow and were cut.`);
  return { checked, units };
}
