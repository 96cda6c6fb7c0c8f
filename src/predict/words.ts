import type { HeadKind } from '../objectives/index.ts';
import type { Field } from '../tasks/index.ts';

/**
 * A row with a text in place of the words that a kind of head asks for, its text split at white space; undefined for a row that is
 * as it should be. `columns` say where a row holds what.
 */
export function rowInWords(
  row: Readonly<Record<string, unknown>>,
  kind: HeadKind,
  { text = 'text', tokens = 'tokens' }: Readonly<Partial<Record<Field, string>>>,
): Readonly<Record<string, unknown>> | undefined {
  const held = row[text];
  if (!kind.columns(row).includes('tokens') || row[tokens] !== undefined || typeof held !== 'string') return undefined;
  return { ...row, [tokens]: held.split(/\s+/).filter(Boolean) };
}
