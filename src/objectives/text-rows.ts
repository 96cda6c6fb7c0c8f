import { fail } from '../base/index.ts';
import type { Field, PredictionRow } from '../tasks/index.ts';
import type { Encoding } from '../text/index.ts';
import type { Tokenized, UnitTools } from './kind.ts';
import type { Target } from './unit.ts';

/** A row of one text or a pair, or of token ids in place of it. */
type TextRow = Extract<PredictionRow, { readonly kind: 'classification' }>;

/** A text kind's columns: ids stand for the text. */
export function textColumns(row: Readonly<Record<string, unknown>>): readonly Field[] {
  return row.inputIds === undefined ? ['text'] : [];
}

/** The one unit of a row of text. @throws text.too-long for too many ids, usage.value */
export function textUnit(row: PredictionRow, { tokenizer, maxLength }: UnitTools, target: Target | undefined): readonly [Tokenized] {
  const { text, textPair, inputIds, tokenTypeIds } = row as TextRow;
  const encoding = inputIds ? encodingOf(inputIds, tokenTypeIds, maxLength) : tokenizer.encode(text, textPair, { maxLength });
  return [{ encodings: [encoding], target }];
}

function encodingOf(ids: readonly number[], types: readonly number[] | undefined, maxLength: number): Encoding {
  if (ids.length > maxLength)
    fail({
      code: 'text.too-long',
      subject: 'inputIds',
      found: `${ids.length} ids`,
      expected: `at most ${maxLength}`,
      next: 'Shorten the row: given ids are never cut.',
    });
  const none = new Int32Array(ids.length);
  return {
    inputIds: Int32Array.from(ids),
    tokenTypeIds: types ? Int32Array.from(types) : none,
    specialTokensMask: new Uint8Array(ids.length),
    sequenceIds: new Int8Array(ids.length),
    wordIds: none,
    offsets: new Int32Array(2 * ids.length),
    truncated: 0,
  };
}
