import type { z } from 'zod';
import type { DType, Tensor } from '../base/index.ts';
import type { EncoderConfig, EncoderFamily } from '../encoders/index.ts';
import type { Dim, Value } from '../graph/index.ts';
import type { Dropout, ParameterSpec, Parameters, Pooling, TokenPooling } from '../nn/index.ts';
import type { Field, Prediction, PredictionRow, Row, Task, TaskKind } from '../tasks/index.ts';
import type { Tokenizer } from '../text/index.ts';
import type { SpanCandidate } from './best-spans.ts';
import type { Feeds, HeadBatch, Unit, UnitLogits } from './unit.ts';

/** A head's configuration as `adapters` keeps it in head_config.json, by its keys. */
export interface HeadConfig {
  readonly head_type: string;
  /** Output index by name; null where outputs have no names. */
  readonly label2id: Readonly<Record<string, number>> | null;
  /** Whether it reads the pooled vector in place of the first token. */
  readonly use_pooler?: boolean;
  /** What it reads of all tokens in place of either; a key of our own, which no head of Python's has. */
  readonly pooling?: TokenPooling | undefined;
  /** Whether it reads that vector divided by its length; a key of our own, too. */
  readonly normalize?: boolean | undefined;
  readonly [key: string]: unknown;
}

/** A prediction head, its parameters named as in `adapters`: `heads.NAME.…`. */
export interface Head<C extends HeadConfig = HeadConfig> {
  readonly name: string;
  readonly config: C;
  readonly kind: HeadKind<C>;
}

/** What a drawing of the encoder gives to heads. d is the encoder's hidden size. */
export interface HeadDrawing {
  readonly encoder: EncoderConfig;
  /** Every token of every sequence [B·S, d]; where no head reads them all, first tokens [B, d]. */
  readonly tokens: Value;
  /** The first token of every sequence [B, d]. */
  readonly first: Value;
  /** [B, S]: 1 for real tokens, 0 for pads. */
  readonly mask: Value;
  /** The pooled vector of every sequence [B, d]. @throws head.config for an encoder without a pooler */
  pooled(): Value;
  /** What stands for every sequence [B, d]. @throws head.config for the pooler of an encoder without one */
  vector(pooling: Pooling): Value;
  /** Scores of all words for x [n, width of the word table]: x·Eᵀ + bias [n, vocabulary], E the table that the encoder reads with. */
  wordScores(x: Value, bias: Value): Value;
  readonly parameters: Parameters;
  readonly dropout: Dropout;
}

/** Inputs of a program that belong to one head, and a dimension for rows that are neither sequences nor tokens. */
export interface HeadInputs {
  input(name: string, dtype: DType, shape: readonly Dim[]): Value;
  readonly rows: Dim;
}

/** What {@link HeadKind.units} may use. */
export interface UnitTools {
  /** In the order of the head's outputs. */
  readonly labels: readonly string[];
  readonly tokenizer: Tokenizer;
  /** Tokens per sequence at most, special tokens included. */
  readonly maxLength: number;
  /** Tokens that windows over a long context share. */
  readonly stride?: number;
}

/** One sequence, or several that belong together, and what they should answer. */
export type Tokenized = Pick<Unit, 'encodings' | 'target' | 'places'>;

/** A head's answer to one row. */
export interface HeadAnswer {
  readonly prediction: Prediction;
  /** What the head gave: numbers per output; per token for tagging (first tokens of words); absent for spans. */
  readonly logits?: readonly number[] | readonly (readonly number[])[];
  /** Spans, best first. */
  readonly spans?: readonly SpanCandidate[];
}

/** A yes-or-no or how-much that a linear model can be asked of a sequence, or of one token of it; a number for each. */
export interface Question {
  readonly sequence: number;
  readonly token?: number;
  readonly answers: readonly number[];
}

/** The like of a head among the fixed ones of transformers, which PEFT saves with an adapter, and `adapters` beside one. */
export interface FixedHead {
  /** How the name of its class ends, after the family's and `For`. */
  readonly className: string;
  /** PEFT's `task_type`, where it has one. */
  readonly task?: string;
  /** Its modules that have parameters, first to last, as the kind's own: paths without `.weight` and `.bias`. */
  readonly modules: readonly string[];
  /** A second name of the last module's bias. */
  readonly bias?: string;
  /** What its configuration says, beside the outputs. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** The key under which the number of outputs stands, and names for them beside; left out where that follows from the encoder. */
  readonly outputs?: string;
}

/** Mean and standard deviation of a task's training labels. */
export interface LabelScale {
  readonly mean: number;
  readonly deviation: number;
}

/** What only heads have whose answers are numbers. */
export interface Numbers<C extends HeadConfig = HeadConfig> {
  /** The label of a unit. */
  labelOf(unit: Pick<Unit, 'target'>): number;
  /** The head's tensors for one that answers y·deviation + mean where it answered y; those that there are none of are left out. */
  rescaled(head: Head<C>, encoder: EncoderConfig, values: ReadonlyMap<string, Tensor>, scale: LabelScale): ReadonlyMap<string, Tensor>;
}

/** What logits are held against in training: labels, or what a teacher says. Each is a weighted sum, so parts of a batch add up. */
export interface Objective {
  /** A scalar. */
  loss(head: Head, logits: Value, inputs: HeadInputs): Value;
  /**
   * The inputs that `loss` asks for. A term of a unit of the batch weighs `weight`, all else 0; labels that are numbers count
   * in units of `scale`.
   */
  targets(head: Head, batch: HeadBatch, weight: number, scale?: LabelScale): Feeds;
  /** How many terms a unit adds to the mean loss. */
  terms(head: Head, unit: Unit): number;
}

/** A kind of prediction head: all that is special to it. */
export interface HeadKind<C extends HeadConfig = HeadConfig> {
  /** Python's `head_type`. */
  readonly type: string;
  /** Whether a configuration of that type is of this kind, where several kinds share a type. */
  claims?(config: Readonly<Record<string, unknown>>): boolean;
  readonly schema: z.ZodType<C>;
  /** The keys that Python's class takes, in the order of its files; it refuses others. */
  readonly keys: readonly string[];

  /** The kind of task whose rows it reads. */
  readonly task: TaskKind;
  /** Set where rows hold no answer for it: no task trains or scores it. */
  readonly unjudged?: true;
  /** Whether its outputs have names: the labels of its task. */
  readonly labelled: boolean;
  /** What a head for a task is made of, beside what all of its type have. @throws task.row where rows do not fit together */
  defaults(task: Pick<Task, 'name' | 'labels'>, rows: readonly Row[]): Readonly<Record<string, unknown>>;
  /** Columns that a row to be answered must have. */
  columns(row: Readonly<Record<string, unknown>>): readonly Field[];
  /** Tokens per sequence where nothing else is said. */
  readonly usualLength: number;
  /** A row as units, without the fields that every unit has. @throws usage.value, text.too-long */
  units(row: PredictionRow, tools: UnitTools): readonly Tokenized[];
  /** Whether the units of a row leave nothing of it out, however long it is. */
  readonly windows?: true;
  /** Sequences of a unit; one where left out. */
  sequences?(config: C): number;

  /** Whether it reads every token, or only the first of each sequence. */
  readonly reads: 'all' | 'first';
  /** Set where its configuration says which vector of a sequence it reads: by `use_pooler`, and by `pooling`. */
  readonly pools?: true;
  /**
   * How one linear of it is solved exactly on vectors of rows, by what its questions answer: one of several classes, several labels
   * each by itself, or a number; left out where that cannot be.
   */
  readonly solves?: 'class' | 'each' | 'number';
  /** Columns of its logits. */
  outputs(config: C): number;
  parameters(head: Head<C>, encoder: EncoderConfig): readonly ParameterSpec[];
  /** The name under which its files hold the encoder's word table once more, where it has that for a layer of its own. */
  wordTable?(head: Head<C>): string;
  /** Logits [n, outputs] of all sequences, all tokens, or the rows that `gathers` says. */
  draw(head: Head<C>, drawing: HeadDrawing, inputs: HeadInputs): Value;
  /** Where rows of logits are neither sequences nor tokens: the inputs by which they are gathered, and how many a unit has. */
  readonly gathers?: { feeds(head: Head<C>, batch: HeadBatch): Feeds; rows(head: Head<C>, unit: Unit): number };

  loss(head: Head<C>, logits: Value, inputs: HeadInputs): Value;
  targets(head: Head<C>, batch: HeadBatch, weight: number, scale?: LabelScale): Feeds;
  /** One where left out. */
  terms?(unit: Unit): number;
  readonly numbers?: Numbers<C>;

  /** The answer to a row from the logits of its units. */
  answer(head: Head<C>, row: PredictionRow, units: readonly UnitLogits[], tokenizer?: Tokenizer): HeadAnswer;
  /** How unsure it is of a unit, in 0 … 1; absent where answers are numbers. `single`: of one choice, not a mean over many. */
  readonly entropy?: { readonly single: boolean; of(head: Head<C>, unit: Pick<Unit, 'target' | 'length'>, logits: Float32Array): number };
  /** A labelled unit as questions, `labels` counting the task's; none for one without a label. */
  questions(unit: Unit, labels: number): readonly Question[];
  /** Its like among transformers' heads for a family, where there is one. */
  fixed?(family: EncoderFamily, encoder: EncoderConfig): FixedHead | undefined;
}
