import type { Tensor } from '../base/index.ts';
import type { Encoder } from '../encoders/index.ts';
import { type Attachment, attachMixedRows, type Placed } from '../methods/index.ts';
import { mixedHead } from '../model/mixed-heads.ts';
import type { Model } from '../model/model.ts';
import type { Prepared } from '../model/prepare.ts';
import { type Head, type HeadBatch, logitRows, type Unit } from '../objectives/index.ts';
import type { Engine, Feeds } from '../session/session.ts';
import type { PredictionRow } from '../tasks/index.ts';
import type { Answer } from './answer.ts';
import type { ModuleStore } from './module-store.ts';
import { createPredictor } from './predictor.ts';

/** Adapters whose drawings differ in values alone: one of them attached, and the values of all. */
export interface AdapterGroup {
  readonly attachment: Attachment;
  readonly store: ModuleStore;
}

/** Heads that differ in values and names of outputs alone. */
export interface HeadGroup {
  readonly head: Head;
  readonly store: ModuleStore;
}

/** What answers a row. */
export interface RowAddress {
  /** None for the bare encoder. */
  readonly adapter: Placed | undefined;
  readonly head: Head;
  /** The head's number in the store of its group; the group is its unit's `task`. */
  readonly headSlot: number;
}

export interface MixedPredictor {
  /** One answer per row, in order, each of its own adapter and head; `task` of a unit is the group of its head. */
  answers(
    rows: readonly PredictionRow[],
    addresses: readonly RowAddress[],
    prepared: Pick<Prepared, 'units'> & Partial<Prepared>,
    onProgress?: (done: number, of: number) => void,
  ): Promise<Answer[]>;
  release(): Promise<void>;
}

/** Compiles one program for rows of all of these adapters and heads; `bare` where rows may have no adapter. */
export async function createMixedPredictor(
  engine: Engine,
  encoder: Encoder,
  { adapters, heads, bare }: { readonly adapters: readonly AdapterGroup[]; readonly heads: readonly HeadGroup[]; readonly bare: boolean },
): Promise<MixedPredictor> {
  const rowsOf = attachMixedRows(
    adapters.map(({ attachment }) => attachment),
    { bare },
  );
  const mixed = heads.map(({ head }, i) => mixedHead(head, i, encoder.config, rowsOf));
  const model: Model = { encoder, attachment: rowsOf, heads: mixed.map(({ head }) => head) };
  const addresses = new WeakMap<Unit, RowAddress>();
  const addressOf = (unit: Unit) => addresses.get(unit) as RowAddress;

  const feeds = (units: readonly Unit[], batches: readonly HeadBatch[]): Feeds => {
    const ofSequences = units.flatMap((unit) => unit.encodings.map(() => addressOf(unit).adapter));
    return {
      ...Object.assign({}, ...adapters.map(({ store }, g) => store.feeds(rowsOf.banks[g] as (typeof rowsOf.banks)[number]))),
      ...rowsOf.feeds(ofSequences),
      ...Object.assign({}, ...batches.map((batch, i) => headFeeds(batch, i, ofSequences))),
    };
  };
  const headFeeds = (batch: HeadBatch, i: number, ofSequences: readonly (Placed | undefined)[]): Record<string, Tensor> => {
    const { bank, context, head } = mixed[i] as (typeof mixed)[number];
    const { gathers } = head.kind;
    const { count, units } = logitRows(head, batch);
    const items = gathers ? count : batch.sequences;
    const slots = new Array<number>(items).fill(units[0] ? addressOf(units[0].unit).headSlot : 0);
    const adapterOf = new Array<Placed | undefined>(items).fill(undefined);
    for (const { unit, place, from, rows } of units) {
      const { adapter, headSlot } = addressOf(unit);
      const [first, each] = gathers ? [from, rows] : [place, unit.encodings.length];
      slots.fill(headSlot, first, first + each);
      adapterOf.fill(adapter, first, first + each);
    }
    return {
      ...heads[i]?.store.feeds(bank),
      ...bank.feeds(context, slots),
      ...(gathers && rowsOf.itemFeeds(context, adapterOf, ofSequences)),
    };
  };
  const predictor = await createPredictor(engine, model, { feeds, headOf: (unit) => addressOf(unit).head });
  return {
    async answers(rows, given, prepared, onProgress) {
      for (const unit of prepared.units) addresses.set(unit, given[unit.row] as RowAddress);
      return predictor.answers(rows, prepared, onProgress);
    },
    release: () => predictor.release(),
  };
}
