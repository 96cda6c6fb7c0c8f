/**
 * MT-Uncertainty sampling (Pilault, El hattami & Pal 2021, section 2.3, as the published code or the paper's formula has it): of candidates from
 * all tasks, those train on which the model is least sure.
 */
import type { Random } from '../base/index.ts';

export interface Candidate {
  readonly task: number;
  /** Normalised entropy in 0 … 1; of a task whose entropies do not compare, or that has none (regression), see {@link quantiles}. */
  readonly uncertainty: number;
}

/** What tasks without a comparable entropy do: take the scores of another task by order, or of all others those at their quantiles. */
export type WithoutEntropy = { readonly rule: 'published'; readonly lender: number | undefined } | { readonly rule: 'quantile' };

export interface ScoreRule {
  readonly withoutEntropy: WithoutEntropy;
  /** Whether a row's entropy counts by the mean of its task: so in the published code, while the paper's formula has the entropy alone. */
  readonly taskFactor: boolean;
}

interface UncertaintyScores {
  /** By candidate. */
  readonly scores: Float64Array;
  /** H̄ of each task; 0 for tasks without candidates or without comparable entropies. */
  readonly taskMeans: readonly number[];
}

/** H/(log C + 1e-5) with H = −Σ p log p of softmax(logits), C classes. */
export function normalisedEntropy(logits: ArrayLike<number>, from = 0, count = logits.length): number {
  let largest = Number.NEGATIVE_INFINITY;
  for (let i = from; i < from + count; i++) largest = Math.max(largest, logits[i] as number);
  let [sum, weighted] = [0, 0];
  for (let i = from; i < from + count; i++) {
    const x = (logits[i] as number) - largest;
    const e = Math.exp(x);
    sum += e;
    weighted += e * x;
  }
  return (Math.log(sum) - weighted / sum) / (Math.log(count) + 1e-5);
}

/**
 * Candidates with their place among those of their task in place of the uncertainty, where it is not comparable: the k-th least
 * sure of n, from 0, has 1 − (k + u)/n. The task's u, drawn in 0 … 1, keeps one that has few from having always the same.
 */
export function quantiles(
  candidates: readonly Candidate[],
  comparable: readonly boolean[],
  random: Pick<Random, 'uniform'>,
): readonly Candidate[] {
  const placed = [...candidates];
  comparable.forEach((has, task) => {
    if (has) return;
    const offset = random.uniform();
    const ofTask = candidates.flatMap((one, place) => (one.task === task ? [{ ...one, place }] : []));
    ofTask
      .sort((a, b) => b.uncertainty - a.uncertainty || a.place - b.place)
      .forEach(({ place }, rank) => {
        placed[place] = { task, uncertainty: 1 - (rank + 1 - offset) / ofTask.length };
      });
  });
  return placed;
}

/**
 * Each candidate's score: H · H̄_t / H̄_max with H̄_t the mean over its task's candidates and H̄_max the largest of them, or H alone.
 * `comparable[task]` is false for regression, and where entropies are means over many choices; then, as published, its i-th
 * candidate takes the score of the lender's i-th (0 beyond the last), or, by quantile, the score at its own among all candidates of
 * comparable tasks: see {@link quantiles}. Without any such candidates its own uncertainty counts.
 */
export function uncertaintyScores(
  candidates: readonly Candidate[],
  comparable: readonly boolean[],
  { withoutEntropy: without, taskFactor }: ScoreRule,
): UncertaintyScores {
  const sums = comparable.map(() => 0);
  const counts = comparable.map(() => 0);
  for (const { task, uncertainty } of candidates) {
    if (!comparable[task]) continue;
    (sums[task] as number) += uncertainty;
    (counts[task] as number)++;
  }
  const taskMeans = sums.map((sum, task) => sum / Math.max(1, counts[task] as number));
  const largest = Math.max(...taskMeans);
  const scores = Float64Array.from(candidates, ({ task, uncertainty }) =>
    comparable[task] && largest > 0 ? uncertainty * (taskFactor ? (taskMeans[task] as number) / largest : 1) : 0,
  );
  const placesOf = (task: number) => candidates.flatMap((one, place) => (one.task === task ? [place] : []));
  const sorted = scores.filter((_, place) => comparable[(candidates[place] as Candidate).task]).toSorted((a, b) => a - b);
  comparable.forEach((has, task) => {
    if (has) return;
    const places = placesOf(task);
    if (without.rule === 'published') {
      const lent = without.lender === undefined ? [] : placesOf(without.lender);
      places.forEach((place, i) => {
        const from = lent[i];
        scores[place] = from === undefined ? 0 : (scores[from] as number);
      });
      return;
    }
    for (const place of places) {
      const { uncertainty } = candidates[place] as Candidate;
      scores[place] = sorted.length === 0 ? uncertainty : (sorted[Math.floor(uncertainty * sorted.length)] as number);
    }
  });
  return { scores, taskMeans };
}

/** The places of the `count` highest scores, best first; of equal ones the first. */
export function highest(scores: ArrayLike<number>, count: number): number[] {
  return Array.from(scores, (_, place) => place)
    .sort((a, b) => (scores[b] as number) - (scores[a] as number) || a - b)
    .slice(0, count);
}
