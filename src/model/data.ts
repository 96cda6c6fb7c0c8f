import { fail, MultigraftError } from '../base/errors.ts';
import { float32, int32, type Tensor } from '../base/tensor.ts';
import { collate } from '../batch/index.ts';
import type { Encoder } from '../encoders/index.ts';
import { type Head, outputsOf } from '../objectives/index.ts';
import type { ChoiceRow, PredictionRow, SpanRow, Task } from '../tasks/index.ts';
import type { Encoding, Tokenizer } from '../text/index.ts';

/** What one unit of a batch should answer; absent in rows that are only predicted. */
export type Target =
  | { readonly kind: 'class'; readonly label: number }
  | { readonly kind: 'number'; readonly value: number }
  | { readonly kind: 'classes'; readonly values: Float32Array }
  /** One label per token, −1 where none is asked. */
  | { readonly kind: 'tokens'; readonly labels: Int32Array }
  | { readonly kind: 'span'; readonly start: number; readonly end: number }
  /** What a teacher computes for the unit: numbers per output, or [length, outputs] for heads that answer per token. */
  | { readonly kind: 'logits'; readonly values: Float32Array; readonly perToken: boolean };

/** What a batch is made of: a row, or one window of a row whose context is longer than the encoder takes. */
export interface Unit {
  readonly row: number;
  /** One sequence, or one per choice. */
  readonly encodings: readonly Encoding[];
  /** Tokens of the longest sequence. */
  readonly length: number;
  readonly target: Target | undefined;
}

/** Logits of one unit: rows × outputs in order; for tokens [length, outputs]. */
export interface UnitLogits {
  readonly unit: Unit;
  readonly logits: Float32Array;
}

export interface PrepareOptions {
  readonly task: Task;
  readonly tokenizer: Tokenizer;
  /** Tokens per sequence at most, special tokens included. */
  readonly maxLength: number;
  /** Tokens that windows over a long context share. */
  readonly stride?: number;
}

export interface Prepared {
  readonly units: readonly Unit[];
  readonly rows: number;
  /** Rows that lost tokens at `maxLength`. */
  readonly truncated: number;
}

/** Tokenises rows into units, in order. @throws text.too-long, usage.value naming the row */
export function prepare(rows: readonly PredictionRow[], options: PrepareOptions): Prepared {
  const units = rows.flatMap((row, index) => {
    try {
      return unitsOf(row, index, options);
    } catch (error) {
      if (!(error instanceof MultigraftError)) throw error;
      return fail({ ...error.problem, subject: `row ${index + 1}, ${error.problem.subject}`, cause: error });
    }
  });
  // The windows of a long context leave nothing out.
  const cut = ({ row, encodings }: Unit) => rows[row]?.kind !== 'span' && encodings.some((one) => one.truncated > 0);
  return { units, rows: rows.length, truncated: units.filter(cut).length };
}

function unitsOf(row: PredictionRow, index: number, { task, tokenizer, maxLength, stride }: PrepareOptions): Unit[] {
  const unit = (encodings: readonly Encoding[], target: Target | undefined): Unit => ({
    row: index,
    encodings,
    length: Math.max(...encodings.map((one) => one.inputIds.length)),
    target,
  });
  switch (row.kind) {
    case 'tagging': {
      const encoding = tokenizer.encodeWords(row.tokens, { maxLength });
      return [unit([encoding], row.tags && { kind: 'tokens', labels: tokenLabels(encoding, row.tags, task.labels) })];
    }
    case 'choice':
      return [
        unit(
          choiceEncodings(row as ChoiceRow, tokenizer, maxLength),
          row.label === undefined ? undefined : { kind: 'class', label: row.label },
        ),
      ];
    case 'span': {
      const windows = tokenizer.encodeWindows(row.question, row.context, { maxLength, ...(stride !== undefined && { stride }) });
      return windows.map((window) => unit([window], row.answers?.[0] && spanTarget(window, row as SpanRow)));
    }
    default: {
      const encoding = row.inputIds
        ? givenEncoding(row.inputIds, row.tokenTypeIds, maxLength)
        : tokenizer.encode(row.text, row.textPair, { maxLength });
      return [unit([encoding], textTarget(row.label, task))];
    }
  }
}

function textTarget(label: string | number | readonly string[] | undefined, task: Task): Target | undefined {
  if (label === undefined) return undefined;
  if (typeof label === 'number') return { kind: 'number', value: label };
  if (typeof label === 'string') return { kind: 'class', label: task.labels.indexOf(label) };
  return { kind: 'classes', values: Float32Array.from(task.labels, (name) => Number(label.includes(name))) };
}

/** The label of each word stands at its first token. */
function tokenLabels({ wordIds }: Encoding, tags: readonly string[], labels: readonly string[]): Int32Array {
  return wordIds.map((word, i) => (word >= 0 && word !== wordIds[i - 1] ? labels.indexOf(tags[word] as string) : -1));
}

function choiceEncodings({ text, choices }: ChoiceRow, tokenizer: Tokenizer, maxLength: number): Encoding[] {
  return choices.map((choice) => tokenizer.encode(text, choice, { maxLength }));
}

/** Token positions of the first answer: every token that shares a character with it; 0 where the window does not hold all of it. */
function spanTarget({ sequenceIds, offsets }: Encoding, { context, answers }: SpanRow): Target {
  const { text, start: given } = answers[0] as { text: string; start: number };
  // Spaces belong to no token: at the edge of an answer they would make it fall out of the window.
  const start = given + text.length - text.trimStart().length;
  const end = given + text.trimEnd().length;
  let [first, last, covered] = [-1, -1, 0];
  for (let i = 0; i < sequenceIds.length; i++) {
    if (sequenceIds[i] !== 1) continue;
    const [from, to] = [offsets[2 * i] as number, offsets[2 * i + 1] as number];
    if (to <= start || from >= end) continue;
    if (first < 0 && context.slice(start, from).trim() !== '') break;
    if (first < 0) first = i;
    last = i;
    covered = to;
  }
  const whole = first >= 0 && context.slice(covered, end).trim() === '';
  return whole ? { kind: 'span', start: first, end: last } : { kind: 'span', start: 0, end: 0 };
}

function givenEncoding(ids: readonly number[], types: readonly number[] | undefined, maxLength: number): Encoding {
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

/** How many terms a unit adds to the mean loss. */
export function lossTerms({ target, encodings }: Unit): number {
  if (target?.kind === 'logits') return target.perToken ? (encodings[0]?.inputIds.length ?? 1) : 1;
  return target?.kind === 'tokens' ? target.labels.reduce((count, label) => count + Number(label >= 0), 0) : 1;
}

/**
 * The feeds of one run over `units`. `terms` is the number of loss terms of the whole batch, of which these units may be
 * a part; without it the targets are left out.
 * @throws task.row, text.too-long, text.tokenizer for ids that the encoder does not have
 */
export function feedsOf(units: readonly Unit[], head: Head, encoder: Encoder, terms?: number): Record<string, Tensor> {
  checkChoices(units, head);
  const feeds = encoderFeeds(
    units.flatMap((unit) => unit.encodings),
    encoder,
  );
  const ids = feeds.inputIds as Tensor;
  return {
    ...feeds,
    ...(terms !== undefined && targetFeeds(units, head, ids.shape as [number, number], terms)),
  };
}

/**
 * What an encoder reads of tokenised rows, padded to `mostTokens` at most. Throws `text.too-long`, and `text.tokenizer` for ids it has
 * no vector for.
 */
export function encoderFeeds(
  encodings: readonly Encoding[],
  encoder: Encoder,
  mostTokens = Number.POSITIVE_INFINITY,
): Record<string, Tensor> {
  const { padId } = encoder.config;
  const batch = collate(encodings, { padId, maxLength: Math.min(maxTokens(encoder), mostTokens) });
  const ids = batch.inputIds;
  checkIds(ids.data as Int32Array, batch.tokenTypeIds.data as Int32Array, encoder);
  return {
    inputIds: ids,
    tokenTypeIds: batch.tokenTypeIds,
    attentionMask: batch.attentionMask,
    positionIds: positionIds(ids, padId),
  };
}

/** Rows of a choice task have as many choices as its head. @throws task.row */
export function checkChoices(units: readonly Unit[], { name, config: { num_choices: choices = 1 } }: Head): void {
  const wrong = units.find((unit) => unit.encodings.length !== choices);
  if (wrong)
    fail({
      code: 'task.row',
      subject: `row ${wrong.row + 1}`,
      found: `${wrong.encodings.length} choices`,
      expected: `${choices}, as many as the head '${name}' was made for`,
    });
}

function checkIds(ids: Int32Array, types: Int32Array, { name, family, config }: Encoder): void {
  const { vocabulary } = config;
  const wrong = ids.find((id) => id < 0 || id >= vocabulary);
  if (wrong !== undefined)
    fail({
      code: 'text.tokenizer',
      subject: `token id ${wrong}`,
      found: `${vocabulary} ids in the encoder ${name}`,
      expected: 'an id below that',
      next: 'Use the tokenizer that belongs to the encoder; given inputIds must come from it too.',
    });
  const type = family.names.type === undefined ? undefined : types.find((id) => id < 0 || id >= config.types);
  if (type !== undefined)
    fail({
      code: 'text.tokenizer',
      subject: `token type ${type}`,
      found: `${config.types} types in the encoder ${name}`,
      expected: 'a number below that',
      next: 'Use the tokenizer that belongs to the encoder; given tokenTypeIds must suit it too.',
    });
}

/** Positions counted over real tokens from padId + 1, as RoBERTa counts them; families that count from 0 do not read this. */
function positionIds({ shape, data }: Tensor, padId: number): Tensor {
  const width = shape[1] as number;
  const positions = new Int32Array(data.length);
  let count = 0;
  for (let i = 0; i < data.length; i++) {
    if (i % width === 0) count = 0;
    positions[i] = data[i] === padId ? padId : padId + ++count;
  }
  return int32(shape, positions);
}

/** The longest sequence an encoder takes: its position table, less what lies before the first real position. */
export function maxTokens({ family, config }: Pick<Encoder, 'family' | 'config'>): number {
  return family.positionsAfterPad ? config.positions - config.padId - 1 : config.positions;
}

function targetFeeds(units: readonly Unit[], head: Head, [, width]: [number, number], terms: number): Record<string, Tensor> {
  const weights = (n: number, counts: (i: number) => boolean = () => true) =>
    float32(
      [n],
      Float32Array.from({ length: n }, (_, i) => (counts(i) ? 1 / terms : 0)),
    );
  const n = units.length;
  const targets = units.map((unit) => unit.target as Target);
  switch (targets[0]?.kind) {
    case 'number':
      return {
        labels: float32(
          [n],
          targets.map((target) => (target as { value: number }).value),
        ),
        lossWeights: weights(n),
      };
    case 'classes': {
      const count = head.config.num_labels as number;
      const labels = new Float32Array(n * count);
      targets.forEach((target, i) => void labels.set((target as { values: Float32Array }).values, i * count));
      return { labels: float32([n, count], labels), lossWeights: weights(n) };
    }
    case 'tokens': {
      const labels = new Int32Array(n * width).fill(-1);
      targets.forEach((target, i) => void labels.set((target as { labels: Int32Array }).labels, i * width));
      return {
        labels: int32(
          [n * width],
          labels.map((label) => Math.max(0, label)),
        ),
        lossWeights: weights(n * width, (i) => (labels[i] as number) >= 0),
      };
    }
    case 'logits': {
      const { perToken } = targets[0];
      const rows = perToken ? n * width : n;
      const values = targets.map((target) => (target as { values: Float32Array }).values);
      const outputs = perToken ? outputsOf(head) : (values[0] as Float32Array).length;
      const logits = new Float32Array(rows * outputs);
      values.forEach((one, i) => void logits.set(one, i * (perToken ? width : 1) * outputs));
      const real = (row: number) =>
        !perToken || row % width < ((units[Math.floor(row / width)] as Unit).encodings[0]?.inputIds.length ?? 0);
      return { teacherLogits: float32([rows, outputs], logits), lossWeights: weights(rows, real) };
    }
    case 'span': {
      const half = float32([n], new Float32Array(n).fill(0.5 / terms));
      const at = (which: 'start' | 'end') =>
        int32(
          [n],
          targets.map((target) => (target as { start: number; end: number })[which]),
        );
      return { startPositions: at('start'), endPositions: at('end'), startWeights: half, endWeights: half };
    }
    default:
      return {
        labels: int32(
          [n],
          targets.map((target) => (target as { label: number }).label),
        ),
        lossWeights: weights(n),
      };
  }
}
