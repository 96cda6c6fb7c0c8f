import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { SCHEDULES, type Schedule, scheduleFactor } from './schedule.ts';

interface Golden {
  readonly schedules: readonly {
    readonly name: string;
    readonly warmup: number;
    readonly total: number;
    readonly factors: readonly number[];
  }[];
}

const { schedules } = JSON.parse(readFileSync('test/golden/trajectories/schedules.json', 'utf8')) as Golden;

it('rises, stays and falls as the schedules of transformers, also past the end', () => {
  const seen = new Set<Schedule>();
  let compared = 0;
  for (const { name, warmup, total, factors } of schedules) {
    const schedule = name.split('_')[0] as Schedule;
    seen.add(schedule);
    factors.forEach((factor, step) => {
      expect(scheduleFactor(schedule, step, total, warmup), `${name}, step ${step} of ${total}, warm-up ${warmup}`).toBeCloseTo(factor, 8);
      compared++;
    });
  }
  expect([...seen].sort()).toEqual([...SCHEDULES].sort());
  expect(compared).toBeGreaterThan(100);
});
