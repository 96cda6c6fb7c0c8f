import { fail, type Tensor } from '../base/index.ts';
import { multiplyDims, quantizeProducts } from '../graph/index.ts';
import { drawModel } from '../model/draw.ts';
import { modelDropout } from '../model/dropout.ts';
import { feedsOf, headBatches } from '../model/feeds.ts';
import { type Model, scheduledFeeds, weightsOf } from '../model/model.ts';
import type { Prepared } from '../model/prepare.ts';
import { cutRuns } from '../model/runs.ts';
import { noDropout, pooledTokens } from '../nn/index.ts';
import { type Head, type HeadBatch, logitRows, type Unit, type UnitLogits } from '../objectives/index.ts';
import type { Engine, Feeds } from '../session/session.ts';
import type { PredictionRow } from '../tasks/index.ts';
import type { Answer } from './answer.ts';
import { Means } from './means.ts';

type OnProgress = (done: number, of: number) => void;

export interface Predictor {
  /**
   * One answer per row, in order, whatever the order of computation; units name rows by their number. Where several heads answer a
   * unit, a row has one answer for each of them, in the order of the model's heads. `onProgress` hears how many units are done.
   */
  answers(
    rows: readonly PredictionRow[],
    prepared: Pick<Prepared, 'units'> & Partial<Prepared>,
    onProgress?: OnProgress,
  ): Promise<Answer[]>;
  /** The logits of each unit's head: [rows of the unit, outputs]; rows of tokens go on into padding. */
  logits(units: readonly Unit[], onProgress?: OnProgress): Promise<Float32Array[]>;
  release(): Promise<void>;
}

export interface PredictorOptions {
  /** Tensors that are read anew at every call: those of a model in training. */
  readonly current?: () => ReadonlyMap<string, Tensor>;
  /** Tensors that become part of the program. */
  readonly fixed?: ReadonlyMap<string, Tensor>;
  /** How far training is. */
  readonly steps?: () => number;
  /** Answers tell what can be observed in the attachment, as means over tokens. */
  readonly observe?: boolean;
  /** Draws with dropout, for spreads of predictions; `pass` tells the masks of one call from those of another. */
  readonly dropout?: { readonly seed: number; readonly pass: () => number };
  /** Computes all tokens to the end, whatever heads read: a task's answers keep their bits when other kinds of heads come to the model. */
  readonly steady?: boolean;
  /** Computes the wide linear layers over all tokens in 8 bits: faster, for answers that are only compared with each other. */
  readonly int8?: boolean;
  /** What the program reads of a run beside what the model says; `batches` are what its heads answer. */
  readonly feeds?: (units: readonly Unit[], batches: readonly HeadBatch[]) => Feeds;
  /** The head that a unit is for, where the model's own stand for several. */
  readonly headOf?: (unit: Unit) => Head;
}

/** Tokens of one run: small enough for the cache, large enough for the products. */
const RUN_TOKENS = 2048;

/** Compiles a model's forward pass, all heads in one program; units of all heads run together, by length, unless runs must be of one task. */
export async function createPredictor(
  engine: Engine,
  model: Model,
  { current, fixed = new Map(), steps = () => 0, observe = false, dropout, steady = false, int8 = false, ...mixed }: PredictorOptions,
): Promise<Predictor> {
  const { encoder, heads, attachment } = model;
  const channels = attachment.channels?.length ?? 1;
  if (channels > 1 && (heads.length !== channels || observe))
    fail({
      code: 'usage.value',
      subject: attachment.text,
      found: `${channels} answers for each row`,
      expected: observe ? 'one, to be explained' : `a head for each of them, not ${heads.length}`,
      next: 'Make one adapter after another the active one.',
    });
  const changing = current?.() ?? new Map<string, Tensor>();
  const plan = dropout && modelDropout(encoder, dropout.seed);
  // What is observed is observed at every token.
  const options = steady || observe ? { read: 'all' as const } : {};
  const { logits, observed, mask } = drawModel(model, plan?.dropout ?? noDropout, (name) => changing.has(name), options);
  const named = [...observed].filter(([, { columns }]) => observe && columns.length > 0);
  const means = named.map(([name, { value, columns }]) => ({
    name,
    columns,
    value: value.shape[0] === mask.shape[0] ? value : pooledTokens(value, mask, 'mean'),
  }));
  const outputs = Object.fromEntries([
    ...means.map(({ name, value }) => [name, value] as const),
    ...logits.map((value, head) => [`logits.${head}`, value] as const),
  ]);
  const program = int8 ? quantizeProducts({ outputs }, multiplyDims('B', 'S')) : { outputs };
  const session = await engine.compile(program, weightsOf(model, new Map([...fixed, ...(plan?.pools ?? [])])));

  return { answers, logits: logitsOf, release: () => session.release() };

  async function answers(
    rows: readonly PredictionRow[],
    { units, tokenizer }: Pick<Prepared, 'units'> & Partial<Prepared>,
    onProgress?: OnProgress,
  ): Promise<Answer[]> {
    if (attachment.rows !== undefined && rows.length !== attachment.rows)
      fail({
        code: 'usage.value',
        subject: attachment.text,
        found: `${rows.length} rows`,
        expected: `${attachment.rows}: its sizes say which row is for which adapter`,
      });
    const byRow = rows.map(() => new Map<number, UnitLogits[]>());
    const seen = means.length > 0 ? rows.map(() => new Means()) : [];
    await compute(units, onProgress, (unit, numbers, place, result, head) => {
      const ofRow = byRow[unit.row];
      ofRow?.set(head, [...(ofRow.get(head) ?? []), { unit, logits: numbers }]);
      for (const { name, columns } of means) seen[unit.row]?.add(name, columns, result[name] as Tensor, place, unit.encodings.length);
    });
    return rows.flatMap((row, i) => {
      const ofRow = [...(byRow[i] as Map<number, UnitLogits[]>)].sort(([one], [other]) => one - other);
      return (ofRow.length > 0 ? ofRow : ([[0, []]] as const)).map(([at, unitsOfRow]) => {
        const [first] = unitsOfRow;
        const head = (first && mixed.headOf?.(first.unit)) ?? (heads[at] as Head);
        return { ...head.kind.answer(head, row, unitsOfRow, tokenizer), ...(seen[i] && { observed: seen[i].values() }) };
      });
    });
  }

  async function logitsOf(units: readonly Unit[], onProgress?: OnProgress): Promise<Float32Array[]> {
    const found = new Map<Unit, Float32Array>();
    // The same unit may be asked several times.
    const copies = units.map((unit) => ({ ...unit }));
    await compute(copies, onProgress, (unit, numbers) => void found.set(unit, numbers));
    return copies.map((unit) => found.get(unit) as Float32Array);
  }

  async function compute(
    units: readonly Unit[],
    onProgress: OnProgress | undefined,
    use: (unit: Unit, logits: Float32Array, place: number, result: Readonly<Record<string, Tensor>>, head: number) => void,
  ): Promise<void> {
    const values = { ...Object.fromEntries(current?.() ?? []), ...scheduledFeeds(model, steps()) };
    let done = 0;
    for (const [run, batch] of runsOf(units).entries()) {
      const feeds = feedsOf(batch, model);
      const masks = plan && dropout ? plan.masks(feeds, dropout.pass(), run) : {};
      const ofHeads = headBatches(batch, model, (feeds.inputIds as Tensor).shape as [number, number]);
      const result = await session.run({ ...feeds, ...values, ...masks, ...mixed.feeds?.(batch, ofHeads) });
      for (const [i, answered] of ofHeads.entries()) {
        const head = heads[i] as Head;
        const outputs = head.kind.outputs(head.config);
        const { data } = result[`logits.${i}`] as Tensor;
        for (const { unit, place, from, rows } of logitRows(head, answered).units)
          use(unit, (data as Float32Array).slice(from * outputs, (from + rows) * outputs), place, result, i);
      }
      done += batch.length;
      onProgress?.(done, units.length);
    }
  }

  function runsOf(units: readonly Unit[]): Unit[][] {
    if (!attachment.oneTaskRuns) return batches(units);
    return heads.flatMap((_, head) => batches(units.filter(({ task = 0 }) => task === head)));
  }
}

/** Units of similar length together, no more than {@link RUN_TOKENS} allows; the longest first, so that memory peaks at once. */
export function batches<U extends Pick<Unit, 'length' | 'encodings'>>(units: readonly U[]): U[][] {
  return cutRuns(units, RUN_TOKENS);
}
