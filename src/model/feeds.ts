import { float32, int32, type Tensor } from '../base/index.ts';
import type { Attachment } from '../methods/index.ts';
import { type Head, type HeadBatch, headFeeds, LABELS, type LabelScale, type PlacedUnit, type Unit } from '../objectives/index.ts';
import { encoderFeeds } from './encoder-inputs.ts';
import type { Model } from './model.ts';
import { checkSequences } from './prepare.ts';

/** What the loss of a whole batch is made of, of which a run may hold a part. */
export interface BatchTerms {
  /** Loss terms of each head. */
  readonly counts: readonly number[];
  /** The weight of each head's mean; 0 for heads without units. A model with one head does not read it. */
  readonly weights: readonly number[];
  /** By head: labels that are numbers count in these units. */
  readonly scales?: readonly (LabelScale | undefined)[];
}

/** What decides how units are fed. */
type FedModel = Pick<Model, 'encoder' | 'heads' | 'objective'> & {
  readonly attachment: Pick<Attachment, 'mostTokens' | 'tokens' | 'rowFeeds'>;
};

/** Counts a batch. `share` is the weight of a head, 1 on average: each that has units has that share of the mean over them. */
export function batchTerms(
  { heads, objective = LABELS }: Pick<Model, 'heads' | 'objective'>,
  batch: readonly Unit[],
  share: (head: number) => number = () => 1,
): BatchTerms {
  const counts = heads.map(() => 0);
  for (const unit of batch) (counts[unit.task ?? 0] as number) += objective.terms(headOf(heads, unit), unit);
  const present = new Set(batch.map(({ task = 0 }) => task));
  return { counts, weights: heads.map((_, head) => (present.has(head) ? share(head) / present.size : 0)) };
}

/**
 * The feeds of one run over units of any of the model's heads: what the encoder and the attachment read, what heads read beside
 * them, and with `terms`, which are those of the whole batch, what the loss reads.
 * @throws task.row, text.too-long, text.tokenizer for ids that the encoder does not have
 */
export function feedsOf(units: readonly Unit[], model: FedModel, terms?: BatchTerms): Record<string, Tensor> {
  const { heads, encoder, attachment, objective = LABELS } = model;
  const feeds = encoderFeeds(
    units.flatMap(({ encodings }) => encodings),
    encoder,
    attachment,
  );
  const [sequences, width] = feeds.inputIds.shape as [number, number];
  const ofHeads = headBatches(units, model, [sequences, width]).map((batch, i) => {
    const head = heads[i] as Head;
    checkSequences(
      batch.units.map(({ unit }) => unit),
      head,
    );
    const targets = terms && objective.targets(head, batch, 1 / Math.max(1, terms.counts[i] as number), terms.scales?.[i]);
    return headFeeds({ ...head.kind.gathers?.feeds(head, batch), ...targets }, i, heads.length);
  });
  const all = units.flatMap(({ encodings, row, task }) => encodings.map(() => ({ row, task })));
  return {
    ...feeds,
    taskIds: int32(
      [sequences],
      all.map(({ task = 0 }) => task),
    ),
    ...attachment.rowFeeds?.(all),
    ...(terms && heads.length > 1 && { taskWeights: float32([heads.length], terms.weights) }),
    ...Object.assign({}, ...ofHeads),
  };
}

/** By head, what it answers in a run over units of a shape [sequences, tokens]. */
export function headBatches(
  units: readonly Unit[],
  { heads }: Pick<Model, 'heads'>,
  [sequences, width]: readonly [number, number],
): HeadBatch[] {
  const batches = heads.map(() => ({ sequences, width, units: [] as PlacedUnit[] }));
  let place = 0;
  for (const unit of units) {
    for (const head of unit.heads ?? [unit.task ?? 0]) batches[head]?.units.push({ unit, place });
    place += unit.encodings.length;
  }
  return batches;
}

/** The head that a unit is for. */
export function headOf(heads: readonly Head[], { task = 0 }: Pick<Unit, 'task'>): Head {
  return heads[task] as Head;
}
