import type { Files, Tensor } from '../../base/index.ts';
import type { HeadTraining } from '../../checkpoint/index.ts';
import type { Encoder } from '../../encoders/index.ts';
import type { Attachment, CaMtlReport } from '../../methods/index.ts';
import type { Model } from '../../model/model.ts';
import type { Head } from '../../objectives/index.ts';

/** A way to make one model of several tasks; `A` is what it attaches to the encoder. */
export interface MultiTaskMethod<A extends Attachment = Attachment> {
  /** What the user wrote. */
  readonly text: string;
  /** Whether encoder weights train, and are saved with the model. */
  readonly trainsEncoder: boolean;
  /** What heads are like: a linear on the pooled vector, as published for encoders that train, or those of single tasks. */
  readonly heads: 'pooled' | 'single-task';
  /** Whether tasks can be added to the model later: what it answers to a task may then not depend on which others there are. */
  readonly grows: boolean;
  /** The longest sequence that it takes, where that is settled before rows are read. */
  readonly mostTokens?: number;
  /** `tokens` is the most that any sequence has. @throws method.config, method.site */
  attach(encoder: Encoder, names: readonly string[], tokens: number): A;
  /** The trained model that tasks are added to, and the task that new ones are to begin as, where one was asked for. */
  readonly base?: GrowingModel;
  readonly like?: string;
  /** First values in place of drawn ones; `features` are those of {@link taskFeatures} of the new tasks. */
  initial?(heads: readonly Head[], features: readonly Tensor[]): FirstValues;
  /** Counts the numbers of a model by what they belong to. */
  report?(model: Attached<A>): CaMtlReport;
  /** Writes a trained model; of one that has grown the whole. */
  save(files: Files, folder: string, trained: TrainedTasks<A>): Promise<void>;
}

export type Attached<A extends Attachment> = Model & { readonly attachment: A };

/** A trained model of several tasks. */
export interface TrainedTasks<A extends Attachment = Attachment> {
  readonly model: Attached<A>;
  /** What was trained, by full name, and what was drawn. */
  readonly parameters: ReadonlyMap<string, Tensor>;
  /** By task id. */
  readonly training: readonly HeadTraining[];
  /** Of methods that grow: what the rows of each task look like to the encoder, by the task's name. */
  readonly features: ReadonlyMap<string, Tensor>;
}

/** What is known of a model to which tasks are added. */
interface GrowingModel extends Model {
  readonly tensors: ReadonlyMap<string, Tensor>;
}

export interface FirstValues {
  readonly parameters: ReadonlyMap<string, Tensor>;
  /** By task. */
  readonly begins: readonly Beginning[];
}

/** The earlier task that a new one begins as, and why. */
export interface Beginning {
  readonly as: string;
  /** It was asked for; its rows are the most alike; its head is, where nothing is known of the rows. */
  readonly by: 'choice' | 'features' | 'head';
  /** Cosines of the features of the new task and of each earlier one. */
  readonly similarities?: Readonly<Record<string, number>>;
}
