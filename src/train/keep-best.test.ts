import { expect, it } from 'vitest';
import { ZERO } from '../nn/index.ts';
import { ParameterStore } from '../update/index.ts';
import { type Keep, type Kept, keepBest, keepBestByTask, nothingKept } from './keep-best.ts';

const owners = new Map([
  ['of a', 0],
  ['of b', 1],
]);

/** Judges one evaluation after another; all parameters hold the number of steps. Gives what is kept after each. */
function follow(make: (store: ParameterStore) => Keep, evaluations: readonly (readonly (number | undefined)[])[]) {
  const store = new ParameterStore([...owners.keys()].map((name) => ({ name, shape: [1], init: ZERO, decay: false })));
  const keep = make(store);
  let kept: Kept = nothingKept(2);
  return evaluations.map((metrics, i) => {
    for (const name of owners.keys()) store.set(name, Float32Array.of(i + 1));
    const judgement = keep(kept, i + 1, metrics);
    kept = judgement.kept;
    const { best, bests, parameters } = kept;
    return {
      best: best && [best.step, best.metric],
      bests: bests.map((score) => score?.step),
      parameters: [...(parameters?.values() ?? [])].map(({ data }) => data[0]),
      improved: judgement.improved,
      better: judgement.better,
    };
  });
}

it('all is kept of the best mean, of equal ones the later, which is no better one', () => {
  const found = follow(
    (store) => keepBest(store),
    [
      [0.5, 0.25],
      [0.25, 0.5],
      [0.75, 0],
      [0, 0.5],
      [1, undefined],
    ],
  );
  expect(found).toEqual([
    { best: [1, 0.375], bests: [1, 1], parameters: [1, 1], improved: true, better: true },
    { best: [2, 0.375], bests: [1, 2], parameters: [2, 2], improved: true, better: false },
    { best: [3, 0.375], bests: [3, 2], parameters: [3, 3], improved: true, better: false },
    { best: [3, 0.375], bests: [3, 4], parameters: [3, 3], improved: false, better: false },
    { best: [5, 1], bests: [5, 4], parameters: [5, 5], improved: true, better: true },
  ]);
});

it('of each task what belongs to it, whatever the mean does', () => {
  const found = follow(
    (store) => keepBestByTask(store, owners),
    [
      [0.5, 0.25],
      [0.25, 0.375],
      [0.25, 0.125],
      [0.5, 0.125],
    ],
  );
  expect(found).toEqual([
    { best: [1, 0.375], bests: [1, 1], parameters: [1, 1], improved: true, better: true },
    { best: [2, 0.375], bests: [1, 2], parameters: [1, 2], improved: false, better: true },
    { best: [2, 0.375], bests: [1, 2], parameters: [1, 2], improved: false, better: false },
    { best: [4, 0.375], bests: [4, 2], parameters: [4, 2], improved: false, better: false },
  ]);
});

it('a task without scores keeps its last', () => {
  const found = follow(
    (store) => keepBestByTask(store, owners),
    [
      [0.5, undefined],
      [0.25, undefined],
    ],
  );
  expect(found.map(({ parameters }) => parameters)).toEqual([
    [1, 1],
    [1, 2],
  ]);
  expect(found[1]?.bests).toEqual([1, undefined]);
});
