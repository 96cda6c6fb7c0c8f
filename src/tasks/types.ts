/** What is asked of a model: the words every later stage uses for tasks, rows, labels and metrics. */

export const TASK_KINDS = ['classification', 'multilabel', 'regression', 'tagging', 'span', 'choice'] as const;
export type TaskKind = (typeof TASK_KINDS)[number];

export const SPLITS = ['train', 'validation', 'test'] as const;
export type Split = (typeof SPLITS)[number];

/** Names of the metrics; `src/metrics/` computes them. */
export const METRIC_NAMES = [
  'accuracy',
  'f1',
  'f1_macro',
  'f1_micro',
  'matthews',
  'pearson',
  'spearman',
  'token_accuracy',
  'span_f1',
  'span_precision',
  'span_recall',
  'exact_match',
  'squad_f1',
] as const;
export type MetricName = (typeof METRIC_NAMES)[number];

/** The fields a row can have, by the names the program uses; `Task.columns` says under which names a file holds them. */
export const FIELDS = ['text', 'textPair', 'label', 'tokens', 'tags', 'choices', 'context', 'question', 'answers'] as const;
export type Field = (typeof FIELDS)[number];

export interface Task {
  readonly name: string;
  readonly kind: TaskKind;
  /** The label set in the order of the head's outputs; empty for regression, span and choice. */
  readonly labels: readonly string[];
  /** The one number that decides which checkpoint is best. */
  readonly metric: MetricName;
  /** Everything worth reporting, the primary metric first. */
  readonly metrics: readonly MetricName[];
  /** Where a field stands in the files, when not under its own name. */
  readonly columns: Readonly<Partial<Record<Field, string>>>;
  /** The file of each split that exists. */
  readonly files: Readonly<Partial<Record<Split, string>>>;
  /** The whole card as it was written (language, licence, author, floor scores, …); empty for a bare file. */
  readonly card: Readonly<Record<string, unknown>>;
}

/** What any row may carry beside its input: which task of many it belongs to, which adapter should answer it. */
interface Addressed {
  readonly task?: string;
  readonly adapter?: string;
}

interface TextInput<Kind extends TaskKind> extends Addressed {
  readonly kind: Kind;
  /** Empty when `inputIds` is given. */
  readonly text: string;
  readonly textPair?: string;
  /** Token ids with their special tokens, instead of text. */
  readonly inputIds?: readonly number[];
  /** As long as `inputIds`. */
  readonly tokenTypeIds?: readonly number[];
}

export interface ClassificationRow extends TextInput<'classification'> {
  readonly label: string;
}

export interface MultilabelRow extends TextInput<'multilabel'> {
  /** Distinct labels, possibly none. */
  readonly label: readonly string[];
}

export interface RegressionRow extends TextInput<'regression'> {
  readonly label: number;
}

export interface TaggingRow extends Addressed {
  readonly kind: 'tagging';
  readonly tokens: readonly string[];
  /** One per token. */
  readonly tags: readonly string[];
}

export interface SpanAnswer {
  readonly text: string;
  /** Offset into the context in UTF-16 units, as `String.prototype.slice` counts. */
  readonly start: number;
}

export interface SpanRow extends Addressed {
  readonly kind: 'span';
  readonly context: string;
  readonly question: string;
  /** At least one; all of them count as right. */
  readonly answers: readonly SpanAnswer[];
}

export interface ChoiceRow extends Addressed {
  readonly kind: 'choice';
  readonly text: string;
  readonly choices: readonly string[];
  /** Index into `choices`. */
  readonly label: number;
}

/** A row with its answer: what training and evaluation read. */
export type Row = ClassificationRow | MultilabelRow | RegressionRow | TaggingRow | SpanRow | ChoiceRow;

type Answer = 'label' | 'tags' | 'answers';
type WithoutAnswer<R> = R extends Row ? Omit<R, Answer> & Partial<Pick<R, Extract<keyof R, Answer>>> : never;

/** A row whose answer may be missing: what prediction reads. Every {@link Row} is one. */
export type PredictionRow = WithoutAnswer<Row>;

/** Where a row stands, for messages: `line` counts from 1. */
export interface Place {
  readonly file: string;
  readonly line: number;
}

/**
 * A model's answer to one row: a label (classification), labels (multilabel), a number (regression), tags (tagging),
 * the answer's text (span), the chosen index (choice).
 */
export type Prediction = string | number | readonly string[];
