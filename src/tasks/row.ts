import { fail, nearest } from '../base/index.ts';
import type { Field, Place, PredictionRow, Row, SpanAnswer, Task } from './types.ts';

/**
 * A row of a file as a typed row of its task. Lists may also be written as JSON text, tokens and tags separated by spaces,
 * several labels by `|` (for CSV). Columns the kind has no use for are ignored.
 *
 * Throws `task.row` (missing column, wrong type, lengths that differ, an answer that is not in its context) and
 * `task.label` (a label outside the label set).
 */
export function checkRow(task: Task, value: Record<string, unknown>, where: Place): Row {
  return read(task, value, where, true) as Row;
}

/** As {@link checkRow} for rows to be answered: answers that a row already has are not read, text may be given as `inputIds`. */
export function checkPredictionRow(task: Task, value: Record<string, unknown>, where: Place): PredictionRow {
  return read(task, value, where, false);
}

function read(task: Task, value: Record<string, unknown>, where: Place, labelled: boolean): PredictionRow {
  const row = new RowReader(task, value, where);
  const address = { ...row.optionalString('task'), ...row.optionalString('adapter') };
  switch (task.kind) {
    case 'classification':
      return { ...address, kind: 'classification', ...row.textInput(), ...(labelled && { label: row.oneLabel() }) };
    case 'multilabel':
      return { ...address, kind: 'multilabel', ...row.textInput(), ...(labelled && { label: row.manyLabels() }) };
    case 'regression':
      return { ...address, kind: 'regression', ...row.textInput(), ...(labelled && { label: row.number('label') }) };
    case 'tagging': {
      const tokens = row.words('tokens');
      return { ...address, kind: 'tagging', tokens, ...(labelled && { tags: row.tags(tokens.length) }) };
    }
    case 'span': {
      const context = row.string('context');
      const question = row.string('question');
      return { ...address, kind: 'span', context, question, ...(labelled && { answers: row.answers(context) }) };
    }
    case 'choice': {
      const choices = row.choices();
      return { ...address, kind: 'choice', text: row.string('text'), choices, ...(labelled && { label: row.index(choices.length) }) };
    }
  }
}

class RowReader {
  private readonly task: Task;
  private readonly value: Record<string, unknown>;
  private readonly where: Place;

  constructor(task: Task, value: Record<string, unknown>, where: Place) {
    this.task = task;
    this.value = value;
    this.where = where;
  }

  has(field: Field): boolean {
    const value = this.value[this.column(field)];
    return value !== undefined && value !== null && !(value === '' && NEVER_EMPTY.has(field));
  }

  optionalString(name: 'task' | 'adapter'): Record<string, string> {
    const value = this.value[name];
    if (value === undefined || value === null || value === '') return {};
    return typeof value === 'string' ? { [name]: value } : this.wrong(name, value, 'a string');
  }

  textInput(): { text: string; textPair?: string; inputIds?: number[]; tokenTypeIds?: number[] } {
    if (this.value.inputIds !== undefined && this.value.inputIds !== null) return this.idInput();
    const text = this.string('text');
    return this.has('textPair') ? { text, textPair: this.string('textPair') } : { text };
  }

  private idInput(): { text: string; inputIds: number[]; tokenTypeIds?: number[] } {
    const inputIds = this.ids('inputIds');
    if (inputIds.length === 0) this.wrong('inputIds', [], 'at least one token id');
    if (this.value.tokenTypeIds === undefined || this.value.tokenTypeIds === null) return { text: '', inputIds };
    const tokenTypeIds = this.ids('tokenTypeIds');
    if (tokenTypeIds.length !== inputIds.length)
      this.problem('tokenTypeIds', `${tokenTypeIds.length} values`, `${inputIds.length}, one for each of inputIds`);
    return { text: '', inputIds, tokenTypeIds };
  }

  private ids(name: 'inputIds' | 'tokenTypeIds'): number[] {
    const value = listOf(this.value[name]);
    const whole = (id: unknown): id is number => Number.isInteger(id) && (id as number) >= 0;
    if (!Array.isArray(value) || !value.every(whole)) return this.wrong(name, this.value[name], 'a list of whole numbers, 0 or more');
    return value;
  }

  string(field: Field): string {
    const value = this.get(field, 'a string');
    if (typeof value === 'string') return value;
    if (typeof value === 'number' || typeof value === 'bigint') return String(value);
    return this.wrong(this.column(field), value, 'a string');
  }

  number(field: Field): number {
    const value = this.get(field, 'a number');
    const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : typeof value === 'bigint' ? Number(value) : value;
    // What is computed with is float32.
    return typeof number === 'number' && Number.isFinite(Math.fround(number))
      ? number
      : this.wrong(this.column(field), value, 'a finite number, of a size below 3.4e38');
  }

  words(field: 'tokens' | 'tags'): string[] {
    const value = this.get(field, 'a list of strings');
    const list = typeof value === 'string' && !value.startsWith('[') ? value.split(/\s+/).filter(Boolean) : listOf(value);
    if (!Array.isArray(list) || !list.every((word) => typeof word === 'string'))
      return this.wrong(this.column(field), value, 'a list of strings');
    if (list.length === 0) return this.wrong(this.column(field), value, 'at least one entry');
    return list;
  }

  tags(tokens: number): string[] {
    const tags = this.words('tags');
    if (tags.length !== tokens) this.problem(this.column('tags'), `${tags.length} tags`, `${tokens}, one for each token`);
    for (const tag of tags) this.known('tags', tag);
    return tags;
  }

  oneLabel(): string {
    const value = this.get('label', 'one of the labels');
    if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'bigint' && typeof value !== 'boolean')
      return this.wrong(this.column('label'), value, 'one label');
    return this.known('label', String(value));
  }

  manyLabels(): string[] {
    const value = this.value[this.column('label')] === '' ? [] : this.get('label', 'a list of labels');
    const list = typeof value === 'string' && !value.startsWith('[') ? value.split('|').map((label) => label.trim()) : listOf(value);
    if (!Array.isArray(list)) return this.wrong(this.column('label'), value, 'a list of labels');
    const labels = list.map((label) => this.known('label', String(label)));
    if (new Set(labels).size < labels.length) return this.wrong(this.column('label'), value, 'each label at most once');
    return labels;
  }

  choices(): string[] {
    const value = this.get('choices', 'a list of strings');
    const list = listOf(value);
    if (!Array.isArray(list) || list.length < 2 || !list.every((choice) => typeof choice === 'string'))
      return this.wrong(this.column('choices'), value, 'a list of at least two strings');
    return list;
  }

  index(count: number): number {
    const value = this.get('label', `a whole number from 0 to ${count - 1}`);
    const index = typeof value === 'string' && value.trim() !== '' ? Number(value) : Number(value as number);
    if (typeof value === 'boolean' || !Number.isInteger(index) || index < 0 || index >= count)
      return this.wrong(this.column('label'), value, `a whole number from 0 to ${count - 1}, the index of the right choice`);
    return index;
  }

  answers(context: string): SpanAnswer[] {
    const expected = 'a list of {"text", "start"} with at least one entry';
    const value = this.get('answers', expected);
    const list = listOf(value);
    if (!Array.isArray(list) || list.length === 0) return this.wrong(this.column('answers'), value, expected);
    return list.map((answer: unknown) => this.answer(answer, context));
  }

  private answer(value: unknown, context: string): SpanAnswer {
    const { text, start } = (value ?? {}) as Record<string, unknown>;
    if (typeof text !== 'string' || text === '' || !Number.isInteger(start))
      return this.wrong(this.column('answers'), value, '{"text": a string, "start": a whole number}');
    const offset = start as number;
    const there = context.slice(Math.max(offset, 0), Math.max(offset, 0) + text.length);
    if (offset < 0 || there !== text)
      this.problem(
        this.column('answers'),
        `the answer ${show(text)} at ${offset}, where the context has ${show(there)}`,
        'the text that stands in the context at "start" (UTF-16 units)',
      );
    return { text, start: offset };
  }

  private column(field: Field): string {
    return this.task.columns[field] ?? field;
  }

  private get(field: Field, expected: string): unknown {
    const column = this.column(field);
    const value = this.value[column];
    if (value !== undefined && value !== null && !(value === '' && NEVER_EMPTY.has(field))) return value;
    const names = Object.keys(this.value);
    const near = nearest(
      column,
      names.filter((name) => name !== column),
    );
    const found = value === undefined ? `no such column (there are ${names.map((name) => `"${name}"`).join(', ') || 'none'})` : 'nothing';
    return this.problem(column, found, expected, near && value === undefined ? `Did you mean "${near}"?` : undefined);
  }

  private known(field: 'label' | 'tags', label: string): string {
    if (this.task.labels.includes(label)) return label;
    const { labels } = this.task;
    const near = nearest(label, labels);
    const shown = labels.length <= 12 ? labels.join(', ') : `${labels.slice(0, 12).join(', ')} and ${labels.length - 12} more`;
    return fail({
      code: 'task.label',
      subject: this.subject(this.column(field)),
      found: show(label),
      expected: `one of the ${labels.length} labels of ${this.task.name}: ${shown}`,
      next: near === undefined ? 'Correct the row, or add the label to the card.' : `Did you mean "${near}"?`,
    });
  }

  private wrong(column: string, value: unknown, expected: string): never {
    return this.problem(column, show(value), expected);
  }

  private problem(column: string, found: string, expected: string, next = 'Correct the row.'): never {
    return fail({ code: 'task.row', subject: this.subject(column), found, expected, next });
  }

  private subject(column: string): string {
    return `${this.where.file}:${this.where.line}, column "${column}"`;
  }
}

const NEVER_EMPTY: ReadonlySet<Field> = new Set(['label', 'tags', 'answers', 'tokens', 'choices'] as const);

/** A list as it stands, or written as JSON text in a table cell. */
function listOf(value: unknown): unknown {
  if (typeof value !== 'string' || !value.startsWith('[')) return value;
  try {
    return JSON.parse(value);
  } catch {
    return value;
  }
}

function show(value: unknown): string {
  const text = (JSON.stringify(value, (_, inner) => (typeof inner === 'bigint' ? String(inner) : inner)) ?? 'nothing') as string;
  return text.length <= 80 ? text : `${text.slice(0, 77)}…`;
}
