import { fail, type Tensor } from '../base/index.ts';
import { gradients, input, mul, type Program, reduceSum, reshape, type Shape, type Value } from '../graph/index.ts';
import { referenceEngine } from '../session/reference.ts';
import type { Engine, Feeds } from '../session/session.ts';

/** A differentiable function and a point to check it at. */
export interface GradientCase {
  readonly name: string;
  /** The point. Every float32 tensor is differentiated unless it is in `frozen`; keep them to some dozens of elements. */
  readonly inputs: Feeds;
  /** Declared shapes, where symbols shall stand in place of the tensors' own numbers. */
  readonly shapes?: Readonly<Record<string, Shape>>;
  readonly frozen?: readonly string[];
  /** Draws the function of the inputs: one float32 value of any shape. */
  readonly build: (values: Readonly<Record<string, Value>>) => Value;
  /** Engines whose float32 results are held against the reference engine. */
  readonly engines?: readonly Engine[];
  /** Frozen values from elsewhere; gradients are of sum(output · {@link projection}). */
  readonly expected?: { readonly output: readonly number[]; readonly gradients: Readonly<Record<string, readonly number[]>> };
  readonly tolerance?: Partial<Tolerance>;
}

/** Largest difference over the largest value that is allowed. */
export interface Tolerance {
  readonly finiteDifference: number;
  readonly engine: number;
  readonly output: number;
  readonly gradient: number;
}

export interface GradientReport {
  /** What was run: the output and its projected gradients. */
  readonly program: Program;
  /** The function's value on the reference engine. */
  readonly output: Tensor;
  readonly gradients: Readonly<Record<string, Tensor>>;
  /** Worst deviations found; absent ways were not asked for. */
  readonly worst: Partial<Tolerance>;
}

const TOLERANCE: Tolerance = { finiteDifference: 1e-6, engine: 1e-5, output: 1e-6, gradient: 1e-6 };
const STEP = 1e-5;

/**
 * Checks a function's symbolic gradients: against central finite differences in float64 on the reference engine, on other
 * engines against the reference engine, and against frozen values. The output is reduced to a scalar by a fixed projection.
 * A function without float32 inputs to differentiate is only compared.
 * Throws `graph.gradient` naming the value, the element and both numbers where they disagree.
 */
export async function checkGradient(check: GradientCase): Promise<GradientReport> {
  const tolerance = { ...TOLERANCE, ...check.tolerance };
  const by = Object.keys(check.inputs).filter((name) => check.inputs[name]?.dtype === 'float32' && !check.frozen?.includes(name));
  const { program, loss } = draw(check, by);
  const point = await place(check, program, by);
  const results = await runOnce(referenceEngine(), program, point.reference);

  const worst: Partial<Record<keyof Tolerance, number>> = {};
  const judge = (way: keyof Tolerance, what: string, found: Tensor | undefined, expected: Numbers) => {
    const deviation = compare(`${check.name}: ${what}`, found?.data ?? [], expected, tolerance[way]);
    worst[way] = Math.max(deviation, worst[way] ?? 0);
  };

  for (const name of by) {
    const numeric = await finiteDifferences(loss, point.reference, name);
    judge('finiteDifference', `gradient by '${name}' against finite differences`, results[gradientName(name)], numeric);
  }
  for (const engine of check.engines ?? []) {
    const ours = await runOnce(engine, program, point.engine);
    for (const name of Object.keys(program.outputs)) {
      judge('engine', `${name} on the ${engine.name} engine`, ours[name], results[name]?.data ?? []);
    }
  }
  if (check.expected) {
    judge('output', 'output against frozen values', results.output, check.expected.output);
    for (const name of by) {
      const frozen = check.expected.gradients[name] ?? [];
      judge('gradient', `gradient by '${name}' against frozen values`, results[gradientName(name)], frozen);
    }
  }
  const ofInputs = Object.fromEntries(by.map((name) => [name, results[gradientName(name)] as Tensor]));
  return { program, output: results.output as Tensor, gradients: ofInputs, worst };
}

/** The weight of element i of an output in the scalar that is differentiated: cos(0.5 + 1.3 i). */
export function projection(count: number): Float64Array {
  return Float64Array.from({ length: count }, (_, i) => Math.cos(0.5 + 1.3 * i));
}

const PROJECTION = 'projection of the output';
const gradientName = (name: string) => `gradient by ${name}`;

/** The function, and its projected gradients where there is anything to differentiate. */
function draw(check: GradientCase, by: readonly string[]): { program: Program; loss: Value } {
  const values: Record<string, Value> = {};
  for (const [name, { dtype, shape }] of Object.entries(check.inputs)) values[name] = input(name, dtype, check.shapes?.[name] ?? shape);
  const output = check.build(values);
  if (by.length === 0) return { program: { outputs: { output } }, loss: output };
  const projected = mul(output, input(PROJECTION, 'float32', output.shape));
  const axes = output.shape.map((_, axis) => axis);
  const loss = axes.length ? reshape(reduceSum(projected, axes), []) : projected;
  const drawn = gradients(
    loss,
    by.map((name) => values[name] as Value),
  );
  const named = drawn.map((gradient, i) => [gradientName(by[i] as string), gradient] as const);
  return { program: { outputs: { output, ...Object.fromEntries(named) } }, loss };
}

/** The feeds of the reference engine, floats widened, and of the others. */
async function place(check: GradientCase, program: Program, by: readonly string[]): Promise<{ reference: Feeds; engine: Feeds }> {
  const wide = { ...check.inputs };
  for (const [name, value] of Object.entries(wide))
    if (value.dtype === 'float32') wide[name] = { ...value, dtype: 'float64', data: Float64Array.from(value.data as Float32Array) };
  if (by.length === 0) return { reference: wide, engine: check.inputs };
  const { output } = await runOnce(referenceEngine(), { outputs: { output: program.outputs.output as Value } }, wide);
  const { shape, data } = output as Tensor;
  const weights = projection(data.length);
  return {
    reference: { ...wide, [PROJECTION]: { dtype: 'float64', shape, data: weights } },
    engine: { ...check.inputs, [PROJECTION]: { dtype: 'float32', shape, data: Float32Array.from(weights) } },
  };
}

async function runOnce(engine: Engine, program: Program, feeds: Feeds): Promise<Record<string, Tensor>> {
  const session = await engine.compile(program, new Map());
  try {
    return await session.run(feeds);
  } finally {
    await session.release();
  }
}

/** (f(x + h) − f(x − h)) / 2h for every element of one input. */
async function finiteDifferences(loss: Value, feeds: Feeds, name: string): Promise<Float64Array> {
  const session = await referenceEngine().compile({ outputs: { loss } }, new Map());
  const at = feeds[name] as Tensor;
  const evaluate = async (i: number, x: number) => {
    const data = Float64Array.from(at.data as Float64Array);
    data[i] = x;
    const moved = await session.run({ ...feeds, [name]: { ...at, data } });
    return moved.loss?.data[0] as number;
  };
  const slopes = new Float64Array(at.data.length);
  for (let i = 0; i < slopes.length; i++) {
    const x = at.data[i] as number;
    const step = STEP * Math.max(1, Math.abs(x));
    slopes[i] = ((await evaluate(i, x + step)) - (await evaluate(i, x - step))) / (2 * step);
  }
  return slopes;
}

type Numbers = ArrayLike<number | bigint>;

/** The largest difference over the largest expected value (at least 0.001); throws beyond `allowed`. */
function compare(subject: string, found: Numbers, expected: Numbers, allowed: number): number {
  if (found.length !== expected.length)
    fail({ code: 'graph.gradient', subject, found: `${found.length} elements`, expected: `${expected.length}` });
  let scale = 1e-3;
  for (let i = 0; i < expected.length; i++) scale = Math.max(scale, Math.abs(Number(expected[i])));
  let worst = 0;
  for (let i = 0; i < expected.length; i++) {
    const deviation = Math.abs(Number(found[i]) - Number(expected[i])) / scale;
    if (!(deviation <= allowed))
      fail({
        code: 'graph.gradient',
        subject: `${subject}, element ${i}`,
        found: String(found[i]),
        expected: `${expected[i]} ± ${allowed * scale}`,
      });
    worst = Math.max(worst, deviation);
  }
  return worst;
}
