import type { Tensor } from '../base/tensor.ts';
import { type Dim, div, matmul, reduceSum, reshape, type Value } from '../graph/index.ts';
import { feedsOf, type Prepared, type Unit, type UnitLogits } from '../model/data.ts';
import { drawModel, type Model, scheduledFeeds, weightsOf } from '../model/model.ts';
import { cutRuns } from '../model/runs.ts';
import { noDropout } from '../nn/index.ts';
import { outputsOf } from '../objectives/index.ts';
import type { Engine } from '../session/session.ts';
import type { PredictionRow } from '../tasks/index.ts';
import { type Answer, answerOf, type Observations } from './answer.ts';

type Progress = (done: number, of: number) => void;

export interface Predictor {
  /** One answer per row, in order, whatever the order of computation. `onProgress` hears how many units are done. */
  answers(rows: readonly PredictionRow[], prepared: Prepared, onProgress?: Progress): Promise<Answer[]>;
  /** What the head gives for each unit: numbers per output, or [batch length ≥ length, outputs] for heads that answer per token. */
  logits(units: readonly Unit[], onProgress?: Progress): Promise<ReadonlyMap<Unit, Float32Array>>;
  release(): Promise<void>;
}

/** Tokens of one run: small enough for the cache, large enough for the products. */
const RUN_TOKENS = 2048;

/**
 * Compiles a model's forward pass. Tensors that `current` gives are read anew at every call (a model in training);
 * those of `fixed` become part of the program. `steps` says how far training is. With `observe`, answers tell what the
 * attachment lets one look at, as means over tokens.
 */
export async function createPredictor(
  engine: Engine,
  model: Model,
  tensors: { current?: () => ReadonlyMap<string, Tensor>; fixed?: ReadonlyMap<string, Tensor>; steps?: () => number },
  { observe = false }: { readonly observe?: boolean } = {},
): Promise<Predictor> {
  const changing = tensors.current?.() ?? new Map<string, Tensor>();
  // What is looked at is looked at for every token.
  const { logits, observed, mask } = drawModel(model, noDropout, (name) => changing.has(name), observe ? { read: 'all' } : {});
  const named = [...observed].filter(([, { columns }]) => observe && columns.length > 0);
  const looks = named.map(([name, { value, columns }]) => ({ name, columns, mean: meanOverTokens(value, mask) }));
  const session = await engine.compile(
    { outputs: { ...Object.fromEntries(looks.map(({ name, mean }) => [name, mean])), logits } },
    weightsOf(model, tensors.fixed),
  );
  const perToken = model.head.config.head_type === 'tagging' || model.head.config.head_type === 'question_answering';
  const outputs = outputsOf(model.head) * (model.head.config.num_choices ?? 1);

  return { answers, logits: logitsOf, release: () => session.release() };

  async function answers(rows: readonly PredictionRow[], { units }: Prepared, onProgress?: Progress): Promise<Answer[]> {
    const byRow: UnitLogits[][] = rows.map(() => []);
    const seen = looks.length > 0 ? rows.map(() => new Means()) : [];
    await compute(
      units,
      (unit, numbers, result, i) => {
        byRow[unit.row]?.push({ unit, logits: numbers });
        for (const { name, columns } of looks) seen[unit.row]?.add(name, columns, result[name] as Tensor, i, unit.encodings.length);
      },
      onProgress,
    );
    return rows.map((row, i) => ({
      ...answerOf(model.head, row, byRow[i] as UnitLogits[]),
      ...(seen[i] && { observed: seen[i].values() }),
    }));
  }

  async function logitsOf(units: readonly Unit[], onProgress?: Progress): Promise<ReadonlyMap<Unit, Float32Array>> {
    const found = new Map<Unit, Float32Array>();
    await compute(units, (unit, numbers) => void found.set(unit, numbers), onProgress);
    return found;
  }

  async function compute(
    units: readonly Unit[],
    use: (unit: Unit, logits: Float32Array, result: Record<string, Tensor>, i: number) => void,
    onProgress?: Progress,
  ): Promise<void> {
    const current = { ...Object.fromEntries(tensors.current?.() ?? []), ...scheduledFeeds(model, tensors.steps?.() ?? 0) };
    let done = 0;
    for (const batch of batches(units)) {
      const feeds = feedsOf(batch, model.head, model.encoder);
      const result = await session.run({ ...feeds, ...current });
      const data = (result.logits as Tensor).data as Float32Array;
      const width = perToken ? outputs * ((feeds.inputIds as Tensor).shape[1] as number) : outputs;
      batch.forEach((unit, i) => void use(unit, Float32Array.from(data.subarray(i * width, (i + 1) * width)), result, i));
      done += batch.length;
      onProgress?.(done, units.length);
    }
  }
}

/** x [batch·length, n] → its mean over the real tokens of each sequence [batch, n]; mask [batch, length]. */
export function meanOverTokens(x: Value, mask: Value): Value {
  const [batch, length] = mask.shape as [Dim, Dim];
  const n = x.shape.at(-1) as number;
  const sum = matmul(reshape(mask, [batch, 1, length]), reshape(x, [batch, length, n]));
  return div(reshape(sum, [batch, n]), reduceSum(mask, [1]));
}

/** Means over the sequences of a row, by name. */
class Means {
  readonly #sums = new Map<string, { readonly columns: readonly string[]; readonly sum: number[]; count: number }>();

  /** Adds what the sequences of the i-th unit in a batch gave, `sequences` of them. */
  add(name: string, columns: readonly string[], { data }: Tensor, i: number, sequences: number): void {
    const n = columns.length;
    const known = this.#sums.get(name) ?? { columns, sum: new Array<number>(n).fill(0), count: 0 };
    this.#sums.set(name, known);
    for (let k = 0; k < sequences; k++)
      for (let j = 0; j < n; j++) known.sum[j] = (known.sum[j] as number) + Number(data[(i * sequences + k) * n + j]);
    known.count += sequences;
  }

  values(): Observations {
    const named = ({ columns, sum, count }: { columns: readonly string[]; sum: readonly number[]; count: number }) =>
      Object.fromEntries(columns.map((column, j) => [column, (sum[j] as number) / count]));
    return Object.fromEntries([...this.#sums].map(([name, means]) => [name, named(means)]));
  }
}

/** Units of similar length together, no more than {@link RUN_TOKENS} allows; the longest first, so that memory peaks at once. */
export function batches<U extends Unit>(units: readonly U[]): U[][] {
  return cutRuns(units, RUN_TOKENS);
}
