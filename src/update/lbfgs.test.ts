import { expect, it } from 'vitest';
import { minimise } from './lbfgs.ts';

it('finds the minimum of a narrow valley (Rosenbrock 1960), and of a badly scaled bowl', () => {
  const valley = minimise(
    (x, gradient) => {
      const [a, b] = [x[0] as number, x[1] as number];
      gradient[0] = -2 * (1 - a) - 400 * a * (b - a * a);
      gradient[1] = 200 * (b - a * a);
      return (1 - a) ** 2 + 100 * (b - a * a) ** 2;
    },
    Float64Array.of(-1.2, 1),
  );
  expect(valley.converged).toBe(true);
  for (const x of valley.x) expect(x).toBeCloseTo(1, 7);
  const bowl = minimise((x, gradient) => {
    let value = 0;
    x.forEach((a, i) => {
      const curvature = 10 ** i;
      gradient[i] = curvature * (a - i);
      value += (curvature * (a - i) ** 2) / 2;
    });
    return value;
  }, new Float64Array(6));
  expect(bowl.converged).toBe(true);
  bowl.x.forEach((a, i) => void expect(a).toBeCloseTo(i, 7));
});

it('says where it ends without having come there', () => {
  const line = minimise((_, gradient) => {
    gradient[0] = 1;
    return Number.NaN;
  }, Float64Array.of(3));
  expect(line).toMatchObject({ converged: false, iterations: 0 });
  const short = minimise(
    (x, gradient) => {
      gradient[0] = 4 * (x[0] as number) ** 3;
      return (x[0] as number) ** 4;
    },
    Float64Array.of(3),
    { maxIterations: 2 },
  );
  expect(short).toMatchObject({ converged: false, iterations: 2 });
});
