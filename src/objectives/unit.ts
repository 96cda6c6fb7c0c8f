import type { Tensor } from '../base/index.ts';
import type { Encoding } from '../text/index.ts';

/** What a unit should answer, in a form of the kind of head that it is for. */
export interface Target {
  readonly kind: string;
}

/** What a batch is made of: a row, or one window of a row whose context is longer than the encoder takes. */
export interface Unit {
  readonly row: number;
  /** One sequence, or one per choice. */
  readonly encodings: readonly Encoding[];
  /** Tokens of the longest sequence. */
  readonly length: number;
  /** Absent in rows that are only predicted. */
  readonly target: Target | undefined;
  /** Tokens of its sequence that are asked for, where that is not all of them. */
  readonly places?: Int32Array;
  /** Which of the model's heads it is for; the first where left out. */
  readonly task?: number;
  /** Which of the model's heads answer it, where that is not its task. */
  readonly heads?: readonly number[];
}

/** A unit of one of several tasks. */
export interface TaskUnit extends Unit {
  readonly task: number;
}

/** Logits of one unit: [rows, outputs] in order, the rows being those that its kind of head gives to a unit. */
export interface UnitLogits {
  readonly unit: Unit;
  readonly logits: Float32Array;
}

export type Feeds = Readonly<Record<string, Tensor>>;

/** A unit in a run, and the place of its first sequence there. */
export interface PlacedUnit {
  readonly unit: Unit;
  readonly place: number;
}

/** What one head answers in a run of `sequences` of `width` tokens each, padding included; other heads may answer the rest. */
export interface HeadBatch {
  readonly sequences: number;
  readonly width: number;
  readonly units: readonly PlacedUnit[];
}
