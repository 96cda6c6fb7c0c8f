import { createRandom, elementCount, invariant, mix, type Tensor } from '../base/index.ts';
import { type Dim, evaluateDim, gather, input, mul, multiplyDims, reshape, slice, type Value, weight } from '../graph/index.ts';

/**
 * Dropout that is seeded, resumable and of bounded memory (Srivastava et al. 2014). Masks are not drawn anew each step:
 * a pool of random rows holding 0 or 1/(1−p) is made once, and every row of an activation takes a pool row chosen by
 * (seed, step, micro-batch, site). ONNX Runtime's own Dropout has a generator that cannot be set.
 *
 * Takes x [..., n] and returns it with elements dropped with probability p along the last axis; `site` names the place.
 */
export type Dropout = (x: Value, p: number, site: string) => Value;

/** The identity: evaluation, and p = 0. */
export const noDropout: Dropout = (x) => x;

const POOL_ROWS = 2048;
/** Pools for longer rows would take more than 32 MiB each: such rows are put together from pieces of a narrow pool. */
const LONGEST_WHOLE = 4096;
const PIECE = 64;

interface Site {
  readonly input: string;
  readonly rows: Dim;
  /** The length of the rows where they are put together from pieces. */
  readonly cut: Dim | undefined;
}

export interface DropoutPlan {
  readonly dropout: Dropout;
  /** The pools, to be held by the session as weights. */
  readonly pools: Map<string, Tensor>;
  /** Draws the row numbers of one run: int32 per site, a vector, or a matrix where rows are put together from pieces. */
  readonly feeds: (seed: number, step: number, microBatch: number, bindings: ReadonlyMap<string, number>) => Record<string, Tensor>;
}

/**
 * A plan for programs with rows of up to `width` elements, and longer ones where a length has grown by a number ('S+30'). Its pools
 * take at most 32 MiB for each p.
 */
export function planDropout(width: number, seed: number): DropoutPlan {
  const pools = new Map<string, Tensor>();
  const sites: Site[] = [];
  const drawn = new Map<string, Value>();
  const fits = (length: Dim) => width <= LONGEST_WHOLE && !String(length).includes('+');
  /** How many pieces a row of this length takes: a number, or a symbol that the rows fed to its sites fix. */
  const counts = new Map<Dim, Dim>();
  const piecesIn = (length: Dim): Dim => {
    const count = counts.get(length) ?? (typeof length === 'number' ? pieces(length) : `pieces${counts.size}`);
    counts.set(length, count);
    return count;
  };
  const poolOf = (kind: 'pool' | 'pieces', p: number, poolWidth: number): Value => {
    const name = `dropout.${kind}.${p}`;
    const before = drawn.get(name);
    if (before) return before;
    pools.set(name, drawPool(p, poolWidth, seed));
    const value = weight(name, 'float32', [POOL_ROWS, poolWidth]);
    drawn.set(name, value);
    return value;
  };
  const dropout: Dropout = (x, p, site) => {
    if (p === 0) return x;
    const rows = multiplyDims(...x.shape.slice(0, -1));
    const name = `dropout.rows.${site}`;
    invariant(!sites.some((known) => known.input === name), `two dropout sites named '${site}'`);
    const length = x.shape.at(-1) as Dim;
    const whole = fits(length);
    sites.push({ input: name, rows, cut: whole ? undefined : length });
    if (whole) return mul(x, reshape(gather(slice(poolOf('pool', p, width), 1, 0, length), input(name, 'int32', [rows])), x.shape));
    const count = piecesIn(length);
    const joined = reshape(gather(poolOf('pieces', p, PIECE), input(name, 'int32', [rows, count])), [rows, multiplyDims(count, PIECE)]);
    return mul(x, reshape(slice(joined, 1, 0, length), x.shape));
  };
  return {
    dropout,
    pools,
    feeds: (runSeed, step, microBatch, bindings) =>
      Object.fromEntries(
        sites.map((site, i) => {
          const rows = evaluateDim(site.rows, bindings);
          const shape = site.cut === undefined ? [rows] : [rows, pieces(evaluateDim(site.cut, bindings))];
          const data = new Int32Array(elementCount(shape));
          fillRows(data, mix(runSeed, step, microBatch, i));
          return [site.input, { dtype: 'int32', shape, data }];
        }),
      ),
  };
}

function pieces(length: number): number {
  return Math.ceil(length / PIECE);
}

function drawPool(p: number, width: number, seed: number): Tensor {
  const random = createRandom(seed, Math.round(p * 2 ** 30), 0x9001);
  const data = new Float32Array(POOL_ROWS * width);
  const kept = 1 / (1 - p);
  for (let i = 0; i < data.length; i++) data[i] = random.uniform() < p ? 0 : kept;
  return { dtype: 'float32', shape: [POOL_ROWS, width], data };
}

/** xorshift32: a full step of the better generator per row would cost more than it gives. */
function fillRows(rows: Int32Array, seed: number): void {
  let state = seed || 1;
  for (let i = 0; i < rows.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    rows[i] = (state >>> 8) & (POOL_ROWS - 1);
  }
}
