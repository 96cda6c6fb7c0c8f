import { describe, expect, it } from 'vitest';
import { createRandom } from '../base/random.ts';
import { createTaskSampler, TASK_RULES, type TaskPick, type TaskRule, taskShares } from './task-sampler.ts';
import { highest, normalisedEntropy, quantiles, uncertaintyScores } from './uncertainty.ts';
import { createUncertaintySampler, type UncertaintySamplerOptions, type UncertaintyState } from './uncertainty-sampler.ts';

const SIZES = [40, 7, 100];
const LENGTHS = SIZES.map((size, task) => Int32Array.from({ length: size }, (_, row) => 5 + ((row * 7 + task) % 40)));
const options = (rule: TaskRule, more: object = {}) => ({
  lengths: LENGTHS,
  batchSize: 8,
  rule,
  temperature: 5,
  epochs: 4,
  oneTask: false,
  seed: 3,
  ...more,
});

const RULE = { withoutEntropy: { rule: 'quantile' }, taskFactor: true } as const;

describe('shares of tasks', () => {
  const shares = (rule: TaskRule, epoch = 0) => taskShares([100, 10000], { rule, temperature: 2, epochs: 5 }, epoch);

  it('follow N to the power of the rule', () => {
    expect(shares('proportional')[0]).toBeCloseTo(1 / 101, 12);
    expect(shares('uniform')).toEqual([0.5, 0.5]);
    expect(shares('temperature')[0]).toBeCloseTo(1 / 11, 12);
  });

  it('bear temperatures near 0', () => {
    expect(taskShares([100, 200_000], { rule: 'temperature', temperature: 0.001, epochs: 1 }, 0)).toEqual([0, 1]);
  });

  it('anneal from proportional to α = 0.2', () => {
    expect(shares('annealed', 0)).toEqual(shares('proportional'));
    expect(shares('annealed', 4)[0]).toBeCloseTo(1 / (1 + 100 ** 0.2), 12);
    expect(shares('annealed', 2)[0]).toBeCloseTo(1 / (1 + 100 ** 0.6), 12);
    expect(taskShares([1, 3], { rule: 'annealed', temperature: 1, epochs: 1 }, 0)).toEqual([0.25, 0.75]);
  });
});

describe('a sampler over tasks', () => {
  it('proportional: every row of every task once an epoch', () => {
    const sampler = createTaskSampler(options('proportional'));
    expect(sampler.batchesPerEpoch).toBe(19);
    const batches = Array.from({ length: 19 }, () => sampler.next());
    expect(new Set(batches.map(({ epoch }) => epoch))).toEqual(new Set([0]));
    const seen = batches.flatMap(({ picks }) => picks.map(({ task, row }) => `${task}/${row}`));
    expect(seen).toHaveLength(147);
    expect(new Set(seen).size).toBe(147);
    expect(sampler.next().epoch).toBe(1);
  });

  it('uniform: tasks as often as each other, and their rows again only when all have been', () => {
    const sampler = createTaskSampler(options('uniform'));
    const rows: number[][] = SIZES.map(() => []);
    for (let i = 0; i < 190; i++) for (const { task, row } of sampler.next().picks) rows[task]?.push(row);
    const total = rows.reduce((sum, own) => sum + own.length, 0);
    for (const own of rows) expect(Math.abs(own.length / total - 1 / 3)).toBeLessThan(0.05);
    expect(Math.max(...count(rows[1] as number[])) - Math.min(...count(rows[1] as number[]))).toBeLessThanOrEqual(1);
  });

  it('one task in a batch, where asked for', () => {
    const sampler = createTaskSampler(options('proportional', { oneTask: true }));
    expect(sampler.batchesPerEpoch).toBe(5 + 1 + 13);
    const batches = Array.from({ length: 19 }, () => sampler.next().picks);
    expect(batches.flat()).toHaveLength(147);
    for (const picks of batches) expect(new Set(picks.map(({ task }) => task)).size).toBe(1);
    expect(new Set(batches.map((picks) => picks[0]?.task)).size).toBe(3);
  });

  it('one task in a batch, drawn by shares: an epoch has its number of batches, all of them full', () => {
    const sampler = createTaskSampler(options('annealed', { oneTask: true }));
    const batches = Array.from({ length: 4 * sampler.batchesPerEpoch }, () => sampler.next());
    batches.forEach(({ picks, epoch }, i) => {
      expect(epoch).toBe(Math.floor(i / sampler.batchesPerEpoch));
      expect(picks).toHaveLength(8);
      expect(new Set(picks.map(({ task }) => task)).size).toBe(1);
    });
    expect(sampler.next().epoch).toBe(4);
  });

  it.each(TASK_RULES)('%s: the same seed gives the same batches, also after a resume anywhere', (rule) => {
    const whole = createTaskSampler(options(rule));
    const batches = Array.from({ length: 45 }, () => whole.next());
    for (const stop of [0, 1, 19, 30]) {
      const first = createTaskSampler(options(rule));
      for (let i = 0; i < stop; i++) first.next();
      const second = createTaskSampler(options(rule), JSON.parse(JSON.stringify(first.state())));
      expect(Array.from({ length: 45 - stop }, () => second.next())).toEqual(batches.slice(stop));
    }
    expect(createTaskSampler(options(rule, { seed: 4 })).next()).not.toEqual(batches[0]);
  });

  it('refuses a task without rows, and the state of other tasks', () => {
    expect(() => createTaskSampler(options('uniform', { lengths: [LENGTHS[0], new Int32Array()] }))).toThrow('task 1: found none');
    expect(() => createTaskSampler(options('uniform'), { epoch: 0, batch: 0, drawn: [0, 0] })).toThrow('found 3 tasks now; expected 2');
  });
});

function count(rows: readonly number[]): number[] {
  const counts = new Map<number, number>();
  for (const row of rows) counts.set(row, (counts.get(row) ?? 0) + 1);
  return [...counts.values()];
}

describe('uncertainty', () => {
  it('entropy is 1 for equal logits, near 0 for sure ones, and bears large numbers', () => {
    expect(normalisedEntropy([3, 3, 3])).toBeCloseTo(1, 4);
    expect(normalisedEntropy([3, 3, 3])).toBeLessThan(1);
    expect(normalisedEntropy([1e4, 0])).toBe(0);
    expect(normalisedEntropy([9, 9, 0, 1, 9], 2, 2)).toBeCloseTo(0.5822 / Math.LN2, 3);
  });

  it('without an entropy, candidates take the quantile of their spread among the others', () => {
    const candidates = [
      ...[0.1, 0.2, 0.3, 0.4].map((uncertainty) => ({ task: 0, uncertainty })),
      ...[9, 2, 5, 7].map((uncertainty) => ({ task: 1, uncertainty })),
    ];
    const placed = quantiles(candidates, [true, false], { uniform: () => 0.5 });
    expect(placed.map(({ uncertainty }) => uncertainty)).toEqual([0.1, 0.2, 0.3, 0.4, 0.875, 0.125, 0.375, 0.625]);
    const { scores, taskMeans } = uncertaintyScores(placed, [true, false], RULE);
    expect([...scores.slice(4)]).toEqual([0.4, 0.1, 0.2, 0.3]);
    expect(taskMeans).toEqual([0.25, 0]);
    expect(highest(scores, 3)).toEqual([3, 4, 2]);
  });

  it('a task of sure rows is chosen less than its entropies say, unless they count alone', () => {
    const candidates = [0.5, 0.1, 0.4, 0.4].map((uncertainty, place) => ({ task: place < 2 ? 0 : 1, uncertainty }));
    const both = [true, true];
    expect(highest(uncertaintyScores(candidates, both, RULE).scores, 4)).toEqual([2, 3, 0, 1]);
    const { scores } = uncertaintyScores(candidates, both, { ...RULE, taskFactor: false });
    expect([...scores]).toEqual([0.5, 0.1, 0.4, 0.4]);
  });

  it('numbers alone are ordered by their spread, and certainty everywhere is no division by 0', () => {
    const spread = [3, 1, 2].map((uncertainty) => ({ task: 0, uncertainty }));
    expect([...uncertaintyScores(spread, [false], RULE).scores]).toEqual([3, 1, 2]);
    const sure = [0, 0].map((uncertainty) => ({ task: 0, uncertainty }));
    expect([...uncertaintyScores(sure, [true], RULE).scores]).toEqual([0, 0]);
  });
});

it('a state with rows or batches that there are not is refused, as one that cannot be resumed', async () => {
  const made = createUncertaintySampler({
    ...{ lengths: LENGTHS, batchSize: 4, candidates: 1, refresh: 2, seed: 3, comparable: [true, true, true], rule: RULE },
    uncertaintyOf: async (picks) => picks.map(() => 0.5),
  });
  await made.next();
  const state = made.state();
  for (const pick of [
    { task: 9, row: 0 },
    { task: 0, row: 9999 },
  ])
    expect(() => again({ ...state, pending: [[pick]] })).toThrow(`sampler: found row ${pick.row} of task ${pick.task}`);
  expect(() => again({ ...state, chosen: [1] })).toThrow('found 3 tasks now; expected 1');
  const beyond = createTaskSampler(options('uniform'), { epoch: 0, batch: 999, drawn: [0, 0, 0] });
  expect(() => beyond.next()).toThrow('sampler: found batch 999 of epoch 0');

  function again(changed: UncertaintyState) {
    return createUncertaintySampler(
      {
        ...{ lengths: LENGTHS, batchSize: 4, candidates: 1, refresh: 2, seed: 3, comparable: [true, true, true], rule: RULE },
        uncertaintyOf: async () => [],
      },
      changed,
    );
  }
});

it('annealed: a run of a number of steps goes as one of the epochs that these come to', () => {
  const given = (more: { readonly epochs: number; readonly steps?: number }) => {
    const sampler = createTaskSampler({ ...options('annealed'), ...more });
    return Array.from({ length: 3 * sampler.batchesPerEpoch }, () => sampler.next().picks);
  };
  const three = given({ epochs: 3 });
  expect(given({ epochs: 10, steps: three.length })).toEqual(three);
  expect(given({ epochs: 10 })).not.toEqual(three);
});

describe('a sampler by uncertainty', () => {
  /** Rows of task 2 are the least sure, the higher the less; scores depend on the pass, as those of a model in training. */
  const uncertaintyOf = async (picks: readonly TaskPick[], pass: number) =>
    picks.map(({ task, row }) => (task === 2 ? 0.5 + row / 1000 : 0.1) + 0.0001 * pass);
  const made = (more: Partial<UncertaintySamplerOptions> = {}, state?: UncertaintyState) =>
    createUncertaintySampler(
      {
        lengths: LENGTHS,
        batchSize: 8,
        candidates: 3,
        refresh: 1,
        seed: 3,
        comparable: [true, true, true],
        rule: RULE,
        uncertaintyOf,
        ...more,
      },
      state,
    );

  it('takes the least sure of equally many candidates of each task, best first', async () => {
    const sampler = made();
    const { picks } = await sampler.next();
    expect(picks.map(({ task }) => task)).toEqual(new Array(8).fill(2));
    const rows = picks.map(({ row }) => row);
    expect(rows).toEqual([...rows].sort((a, b) => b - a));
    expect(sampler.state()).toMatchObject({ step: 1, passes: 1, drawn: [9, 7, 8], chosen: [0, 0, 8] });
  });

  it('a remainder of candidates falls to each task in its turn', async () => {
    const sampler = made({ candidates: 1.25 });
    for (let i = 0; i < 3; i++) await sampler.next();
    expect(sampler.state().drawn).toEqual([10, 10, 10]);
  });

  it('a task offers no more candidates in a step than it has rows', async () => {
    const sampler = made({ candidates: 6 });
    await sampler.next();
    expect(sampler.state().drawn).toEqual([21, 7, 20]);
    const few = made({ lengths: [Int32Array.of(5, 6), Int32Array.of(7)], comparable: [true, true] });
    const { picks } = await few.next();
    expect(picks.map(({ task, row }) => `${task}/${row}`).sort()).toEqual(['0/0', '0/1', '1/0']);
    // Scored two steps at a time, each step has the scores of its own candidates: the least sure row is in both.
    const twice = made({
      lengths: [Int32Array.of(5, 6), Int32Array.of(7)],
      ...{ batchSize: 2, candidates: 2, refresh: 2, comparable: [true, true] },
      uncertaintyOf: async (candidates) => candidates.map(({ task }) => 0.1 + task / 2),
    });
    const both = [...(await twice.next()).picks, ...(await twice.next()).picks];
    expect(both.filter(({ task }) => task === 1)).toHaveLength(2);
  });

  it.each([1, 8])(
    'gives tasks without an entropy their share where they have hardly a candidate in a step, scoring every %i',
    async (refresh) => {
      const tasks = 27;
      const without = [0, 1, 13, 26];
      const random = createRandom(5);
      // Of those tasks the rows with high numbers are the least sure, in units that mean nothing to the others.
      const noise = Array.from({ length: 40 }, () => random.uniform());
      const sampler = made({
        lengths: Array.from({ length: tasks }, () => new Int32Array(40).fill(9)),
        ...{ batchSize: 16, candidates: 2, refresh, rule: { ...RULE, taskFactor: false } },
        comparable: Array.from({ length: tasks }, (_, task) => !without.includes(task)),
        uncertaintyOf: async (picks) =>
          picks.map(({ task, row }) => (without.includes(task) ? 7 + row : (task * 0.1 + (noise[row] as number)) % 1)),
      });
      const rows: number[] = [];
      const steps = 800;
      for (let i = 0; i < steps; i++) for (const { task, row } of (await sampler.next()).picks) if (without.includes(task)) rows.push(row);
      const { chosen } = sampler.state();
      const equal = (16 * steps) / tasks;
      for (const task of without) expect(Math.abs((chosen[task] as number) / equal - 1), `task ${task}`).toBeLessThan(0.12);
      const mean = rows.reduce((a, b) => a + b, 0) / rows.length;
      // One candidate alone has nothing to be compared with; of eight steps it has.
      if (refresh === 1) expect(Math.abs(mean - 19.5)).toBeLessThan(2.5);
      else expect(mean).toBeGreaterThan(24);
    },
  );

  it('deals the rows of steps that are scored together by length', async () => {
    const still = {
      candidates: 2,
      uncertaintyOf: async (picks: readonly TaskPick[]) => picks.map(({ task, row }) => task / 9 + row / 999),
    };
    const [apart, together] = [made(still), made({ ...still, refresh: 4 })];
    const given = async (sampler: typeof apart) => {
      const batches: (readonly TaskPick[])[] = [];
      for (let i = 0; i < 4; i++) batches.push((await sampler.next()).picks);
      return batches;
    };
    const [before, after] = [await given(apart), await given(together)];
    const rowsOf = (batches: typeof before) =>
      batches
        .flat()
        .map(({ task, row }) => `${task}/${row}`)
        .sort();
    expect(rowsOf(after)).toEqual(rowsOf(before));
    const computed = (batches: typeof before) =>
      batches.reduce((sum, picks) => sum + 8 * Math.max(...picks.map(({ task, row }) => LENGTHS[task]?.[row] as number)), 0);
    expect(computed(after)).toBeLessThan(computed(before));
  });

  it.each([1, 4])('goes on after a resume as if nothing had been, scoring every %i steps', async (refresh) => {
    const whole = made({ refresh, candidates: 2 });
    const batches: unknown[] = [];
    for (let i = 0; i < 30; i++) batches.push(await whole.next());
    expect(whole.state().passes).toBe(Math.ceil(30 / refresh));
    for (const stop of [0, 3, 21]) {
      const first = made({ refresh, candidates: 2 });
      for (let i = 0; i < stop; i++) await first.next();
      const second = made({ refresh, candidates: 2 }, JSON.parse(JSON.stringify(first.state())));
      for (let i = stop; i < 30; i++) expect(await second.next()).toEqual(batches[i]);
      expect(second.state()).toEqual(whole.state());
    }
  });
});
