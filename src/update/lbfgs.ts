/** What is made small: writes the gradient at x into `gradient` and returns the value, both float64. */
export type Objective = (x: Float64Array, gradient: Float64Array) => number;

export interface Minimum {
  readonly x: Float64Array;
  readonly value: number;
  readonly iterations: number;
  /** Whether the gradient has become as small as was asked for; otherwise no further step made the value smaller, or steps ran out. */
  readonly converged: boolean;
}

interface MinimiseOptions {
  /** The largest number of the gradient at which it ends. */
  readonly tolerance?: number;
  readonly maxIterations?: number;
}

/** Pairs of steps and changes of the gradient that are remembered. */
const MEMORY = 10;
/** A step must make the value smaller by this part of what the slope promises (Armijo). */
const DECREASE = 1e-4;
/** The slope at its end must be less steep than this part of that at its start (Wolfe): then the changes tell the curvature. */
const FLATTER = 0.9;
const TRIALS = 40;

/**
 * The minimum of a smooth function by L-BFGS (Nocedal & Wright 2006, "Numerical Optimization", algorithms 7.4 and 7.5), with a search
 * by bisection for a step that meets both conditions of Wolfe. Of a strictly convex function it is the only one.
 */
export function minimise(
  objective: Objective,
  start: Float64Array,
  { tolerance = 1e-8, maxIterations = 1000 }: MinimiseOptions = {},
): Minimum {
  const n = start.length;
  let x = Float64Array.from(start);
  let gradient = new Float64Array(n);
  let value = objective(x, gradient);
  const steps: Float64Array[] = [];
  const changes: Float64Array[] = [];
  for (let iteration = 0; ; iteration++) {
    if (largest(gradient) <= tolerance) return { x, value, iterations: iteration, converged: true };
    if (iteration === maxIterations) return { x, value, iterations: iteration, converged: false };
    const direction = newtonLike(gradient, steps, changes);
    const found = search(objective, { x, value, gradient }, direction, steps.length === 0 ? 1 / Math.max(1, largest(gradient)) : 1);
    if (!found) {
      if (steps.length === 0) return { x, value, iterations: iteration, converged: false };
      // What is remembered may mislead where numbers round: once more along the gradient.
      steps.length = 0;
      changes.length = 0;
      continue;
    }
    const step = found.x.map((a, i) => a - (x[i] as number));
    const change = found.gradient.map((a, i) => a - (gradient[i] as number));
    if (dot(step, change) > 1e-14 * dot(change, change)) {
      steps.push(step);
      changes.push(change);
      if (steps.length > MEMORY) {
        steps.shift();
        changes.shift();
      }
    }
    ({ x, value, gradient } = found);
  }
}

interface Point {
  readonly x: Float64Array;
  readonly value: number;
  readonly gradient: Float64Array<ArrayBuffer>;
}

function search(
  objective: Objective,
  from: Point,
  direction: Float64Array,
  first: number,
): (Point & { x: Float64Array<ArrayBuffer> }) | undefined {
  const slope = dot(from.gradient, direction);
  let [below, above, rate] = [0, Number.POSITIVE_INFINITY, first];
  let kept: (Point & { x: Float64Array<ArrayBuffer> }) | undefined;
  for (let trial = 0; trial < TRIALS; trial++) {
    const x = from.x.map((a, i) => a + rate * (direction[i] as number)) as Float64Array<ArrayBuffer>;
    const gradient = new Float64Array(x.length);
    const value = objective(x, gradient);
    if (!(value <= from.value + DECREASE * rate * slope)) above = rate;
    else {
      kept = { x, value, gradient };
      if (dot(gradient, direction) >= FLATTER * slope) return kept;
      below = rate;
    }
    rate = above === Number.POSITIVE_INFINITY ? 2 * rate : (below + above) / 2;
  }
  return kept;
}

/** −H·g, H the inverse of the curvature as far as it is remembered. */
function newtonLike(gradient: Float64Array, steps: readonly Float64Array[], changes: readonly Float64Array[]): Float64Array {
  const q = gradient.map((g) => -g);
  const shares: number[] = [];
  for (let i = steps.length - 1; i >= 0; i--) {
    const [s, y] = [steps[i] as Float64Array, changes[i] as Float64Array];
    shares[i] = dot(s, q) / dot(s, y);
    addTo(q, y, -(shares[i] as number));
  }
  const last = steps.length - 1;
  if (last >= 0) {
    const [s, y] = [steps[last] as Float64Array, changes[last] as Float64Array];
    const scale = dot(s, y) / dot(y, y);
    for (let i = 0; i < q.length; i++) q[i] = scale * (q[i] as number);
  }
  for (let i = 0; i < steps.length; i++) {
    const [s, y] = [steps[i] as Float64Array, changes[i] as Float64Array];
    addTo(q, s, (shares[i] as number) - dot(y, q) / dot(s, y));
  }
  return q;
}

function addTo(a: Float64Array, b: Float64Array, factor: number): void {
  for (let i = 0; i < a.length; i++) a[i] = (a[i] as number) + factor * (b[i] as number);
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] as number) * (b[i] as number);
  return sum;
}

function largest(values: Float64Array): number {
  let most = 0;
  for (let i = 0; i < values.length; i++) most = Math.max(most, Math.abs(values[i] as number));
  return most;
}
