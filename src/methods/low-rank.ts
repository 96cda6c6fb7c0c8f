import {
  add,
  concat,
  constant,
  type Dim,
  expand,
  gemm,
  layerNorm,
  matmul,
  mul,
  reduceSum,
  reshape,
  scalar,
  slice,
  type Value,
} from '../graph/index.ts';
import { activation, applyLinear } from '../nn/index.ts';

/** u = keep · scale · (f(input·downᵀ + downBias)·upᵀ + upBias). */
export interface LowRank {
  /** [rows, in] */
  readonly input: Value;
  /** [r, in] and [r] */
  readonly down: Value;
  readonly downBias?: Value;
  /** Name of f; the identity where it is absent. */
  readonly activation?: string;
  /** [out, r] and [out] */
  readonly up: Value;
  readonly upBias?: Value;
  readonly scale?: number;
  /** [rows, 1]: 0 or 1/(1−p) where whole rows are dropped. */
  readonly keep?: Value;
}

/** torch's default: these norms are the adapter's own, not the encoder's. */
export const NORM_EPSILON = 1e-5;

/** (x − mean) / deviation along the last axis. */
export function standardize(x: Value): Value {
  const width = [x.shape.at(-1) as number];
  return layerNorm(x, expand(scalar(1), width), expand(scalar(0), width), NORM_EPSILON);
}

/** f(input·downᵀ + downBias): [rows, r]. */
function inner({ input, down, downBias, activation: name = LINEAR }: Omit<LowRank, 'up'>): Value {
  return activation(name, 'method.config')(applyLinear({ weight: down, bias: downBias }, input));
}

/** The whole contribution u: [rows, out]. */
export function product(part: LowRank): Value {
  const { up, upBias, scale = 1, keep } = part;
  const hidden = inner(part);
  const u = upBias
    ? gemm(hidden, up, upBias, { transB: true, ...(scale !== 1 && { alpha: scale, beta: scale }) })
    : matmul(hidden, up, { transB: true, alpha: scale });
  return keep ? mul(u, keep) : u;
}

const LINEAR = 'linear';

/** W·(gain ⊙ s + bias) + b with gain and bias drawn into W and b, so that adapters can share the standardised s. */
export function foldNorm(down: Value, downBias: Value, gain: Value, bias: Value): Pick<LowRank, 'down' | 'downBias'> {
  const [r, d] = down.shape as [number, number];
  const shift = reshape(matmul(down, reshape(bias, [d, 1])), [r]);
  return { down: mul(down, gain), downBias: add(downBias, shift) };
}

/** Several low-rank products over the same rows, their inner units side by side: R = r_1 + … + r_n columns. */
interface Concatenated {
  /** [out, R] and [n, out] */
  readonly ups: Value;
  readonly biases: Value;
  /** [rows, n], where any of them drops rows. */
  readonly keep: Value | undefined;
  /** x [rows, R] → its product with the inner units, summed per adapter: [rows, n]. */
  readonly sums: (x: Value) => Value;
  /** The inner units [rows, R], those of each adapter times its weight [rows, n]. */
  readonly weighted: (weights: Value) => Value;
  /** [rows, n] with columns as above → in the order of the given parts. */
  readonly inOrder: (x: Value) => Value;
  /** [n] in the order of the given parts → [n] in that of the columns. */
  readonly inColumns: (x: Value) => Value;
}

/** One product makes the inner units of all parts that read the same value with the same activation. */
export function concatenated(contributions: readonly LowRank[]): Concatenated {
  const parts = contributions.map(complete);
  const groups = groupsOf(parts);
  const ordered = groups.flat();
  const inners = concat(
    groups.map((group) =>
      inner({
        ...(group[0] as Complete),
        down: concat(
          group.map((part) => part.down),
          0,
        ),
        downBias: concat(
          group.map((part) => part.downBias),
          0,
        ),
      }),
    ),
    1,
  );
  const [rows, columns] = inners.shape as [Dim, number];
  const widths = ordered.map((part) => part.up.shape[1] as number);
  const n = widths.length;
  const [width] = widths as [number];
  const apart = (x: Value) => reshape(x, [rows, n, width]);
  const equal = widths.every((one) => one === width);
  const blocks = equal ? undefined : blocksOf(widths);
  return {
    ups: concat(
      ordered.map((part) => part.up),
      1,
    ),
    biases: concat(
      ordered.map((part) => reshape(part.upBias, [1, part.upBias.shape[0] as number])),
      0,
    ),
    keep: ordered.some((part) => part.keep)
      ? concat(
          ordered.map((part) => part.keep ?? expand(scalar(1), [rows, 1])),
          1,
        )
      : undefined,
    sums: (x) => (blocks ? matmul(mul(x, inners), blocks) : reshape(reduceSum(mul(apart(x), apart(inners)), [2]), [rows, n])),
    weighted: (weights) =>
      blocks
        ? mul(inners, matmul(weights, blocks, { transB: true }))
        : reshape(mul(apart(inners), reshape(weights, [rows, n, 1])), [rows, columns]),
    inOrder: (x) =>
      picked(
        x,
        1,
        parts.map((part) => ordered.indexOf(part)),
      ),
    inColumns: (x) =>
      picked(
        x,
        0,
        ordered.map((part) => parts.indexOf(part)),
      ),
  };
}

/** With biases, and its scale drawn into the up-projection. */
function complete({ scale = 1, activation: name = LINEAR, ...part }: LowRank): Complete {
  const [out, r] = part.up.shape as [number, number];
  const scaled = (x: Value) => (scale === 1 ? x : mul(x, scalar(scale)));
  const upBias = part.upBias ? scaled(part.upBias) : expand(scalar(0), [out]);
  return { ...part, activation: name, downBias: part.downBias ?? expand(scalar(0), [r]), up: scaled(part.up), upBias };
}

type Complete = Required<Pick<LowRank, 'input' | 'down' | 'downBias' | 'activation' | 'up' | 'upBias'>> & Pick<LowRank, 'keep'>;

function picked(x: Value, axis: number, places: readonly number[]): Value {
  if (places.every((place, i) => place === i)) return x;
  return concat(
    places.map((place) => slice(x, axis, place, place + 1)),
    axis,
  );
}

function groupsOf(parts: readonly Complete[]): Complete[][] {
  const groups: Complete[][] = [];
  for (const part of parts) {
    const group = groups.find(([one]) => one?.input === part.input && one.activation === part.activation);
    if (group) group.push(part);
    else groups.push([part]);
  }
  return groups;
}

/** [R, n]: 1 where a column belongs to an adapter. */
function blocksOf(widths: readonly number[]): Value {
  const n = widths.length;
  const rows = widths.flatMap((width, adapter) => Array.from({ length: width }, () => adapter));
  const data = new Float32Array(rows.length * n);
  rows.forEach((adapter, row) => {
    data[row * n + adapter] = 1;
  });
  return constant({ dtype: 'float32', shape: [rows.length, n], data });
}
