import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  accuracy,
  averageRanks,
  binaryF1,
  exactMatch,
  macroF1,
  matthews,
  microF1,
  multilabelMacroF1,
  multilabelMicroF1,
  pearson,
  type Score,
  spanScores,
  spearman,
  squadF1,
  subsetAccuracy,
} from '../../src/metrics/index.ts';

interface Case {
  readonly metric: string;
  readonly name: string;
  readonly predictions: never;
  readonly references: never;
  readonly positive?: string;
  readonly labels?: string[];
  readonly value: number | null;
  readonly undefined: boolean;
}

const golden = JSON.parse(readFileSync(new URL('metrics.json', import.meta.url), 'utf8')) as { cases: Case[] };

const compute: Record<string, (c: Case) => Score> = {
  accuracy: (c) => accuracy(c.predictions, c.references),
  f1: (c) => binaryF1(c.predictions, c.references, c.positive as string),
  f1_macro: (c) => macroF1(c.predictions, c.references),
  f1_micro: (c) => microF1(c.predictions, c.references),
  matthews: (c) => matthews(c.predictions, c.references),
  multilabel_accuracy: (c) => subsetAccuracy(c.predictions, c.references),
  multilabel_f1_macro: (c) => multilabelMacroF1(c.predictions, c.references, c.labels as string[]),
  multilabel_f1_micro: (c) => multilabelMicroF1(c.predictions, c.references, c.labels as string[]),
  pearson: (c) => pearson(c.predictions, c.references),
  spearman: (c) => spearman(c.predictions, c.references),
  span_f1: (c) => spanScores(c.predictions, c.references).f1,
  span_precision: (c) => spanScores(c.predictions, c.references).precision,
  span_recall: (c) => spanScores(c.predictions, c.references).recall,
  exact_match: (c) => exactMatch(c.predictions, c.references),
  squad_f1: (c) => squadF1(c.predictions, c.references),
};

describe('metrics equal scikit-learn, SciPy, seqeval and the SQuAD script', () => {
  const scored = golden.cases.filter((c) => c.metric !== 'ranks');

  it('has a case for every metric', () => {
    expect(scored.length).toBe(187);
    expect([...new Set(scored.map((c) => c.metric))].sort()).toEqual(Object.keys(compute).sort());
  });

  it.each(scored.map((c) => [c.metric, c.name, c] as const))('%s: %s', (metric, _, c) => {
    const score = compute[metric]?.(c) as Score;
    expect(score.value).toBeCloseTo(c.value ?? 0, 12);
    expect(score.undefined !== undefined).toBe(c.undefined);
  });

  it('gives equal values their mean rank', () => {
    const ranks = golden.cases.filter((c) => c.metric === 'ranks') as unknown as { values: number[]; value: number[] }[];
    expect(ranks.map((c) => averageRanks(c.values))).toEqual(ranks.map((c) => c.value));
    expect(ranks.length).toBe(3);
  });
});
