import { invariant } from '../base/index.ts';

/** A dense matrix in host memory, row by row, in double precision. */
export interface Matrix {
  readonly rows: number;
  readonly columns: number;
  readonly data: Float64Array;
}

/** A matrix over `data` (kept when it is a Float64Array, copied otherwise); zeros when it is left out. */
export function matrix(rows: number, columns: number, data: ArrayLike<number> = new Float64Array(rows * columns)): Matrix {
  invariant(data.length === rows * columns, `matrix [${rows}, ${columns}] over ${data.length} numbers`);
  return { rows, columns, data: data instanceof Float64Array ? data : Float64Array.from(data) };
}

export function transposed({ rows, columns, data }: Matrix): Matrix {
  const out = new Float64Array(data.length);
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) out[j * rows + i] = data[i * columns + j] as number;
  return { rows: columns, columns: rows, data: out };
}

/** a·b. */
export function multiplied(a: Matrix, b: Matrix): Matrix {
  invariant(a.columns === b.rows, `product of [${a.rows}, ${a.columns}] and [${b.rows}, ${b.columns}]`);
  const n = b.columns;
  const out = new Float64Array(a.rows * n);
  for (let i = 0; i < a.rows; i++)
    for (let k = 0; k < a.columns; k++) {
      const factor = a.data[i * a.columns + k] as number;
      if (factor !== 0) addTo(out, i * n, factor, b.data, k * n, n);
    }
  return { rows: a.rows, columns: n, data: out };
}

/** a = q·r with orthonormal columns of q [rows, k], r [k, columns] upper triangular with no negative number on its diagonal, k = min. */
export function qr(a: Matrix): { readonly q: Matrix; readonly r: Matrix } {
  const { basis, upper } = reflected(a, false);
  const { rows: k, columns: n } = upper;
  for (let i = 0; i < k; i++)
    if ((upper.data[i * n + i] as number) < 0) {
      scale(upper.data, i * n, n, -1);
      scale(basis.data, i * a.rows, a.rows, -1);
    }
  return { q: transposed(basis), r: upper };
}

/** a = u·diag(s)·vt: u [rows, k] and vt [k, columns] orthonormal, s falling, with k the rank of a to double precision (at least 1). */
export interface Svd {
  readonly u: Matrix;
  readonly s: Float64Array;
  readonly vt: Matrix;
}

/**
 * The singular value decomposition of Golub & Reinsch (1970), of the triangle that a pivoted QR leaves: what has a low rank costs
 * little. Errors are within rounding of the largest value. The same matrix always gives the same signs: the number of largest size in
 * each row of vt is positive. `rank` keeps the first so many alone.
 */
export function svd(a: Matrix, rank = Number.POSITIVE_INFINITY): Svd {
  // a·P = q·r, rᵀ = q₂·r₂, r₂ = left·diag·right.
  const { basis, upper, order } = reflected(a, true);
  const { basis: second, upper: core } = reflected(transposed(upper), false);
  // Shifts are made of fourth powers.
  const size = core.data.reduce((most, x) => Math.max(most, Math.abs(x)), 0) || 1;
  scale(core.data, 0, core.data.length, 1 / size);
  const { diagonal, left, right } = diagonalized(core);
  const sorted = [...diagonal.keys()]
    .sort((x, y) => Math.abs(diagonal[y] as number) - Math.abs(diagonal[x] as number))
    .slice(0, Math.max(1, rank));
  const ut = multiplied(picked(right, sorted), basis);
  const unordered = multiplied(picked(left, sorted), second);
  const vt = matrix(sorted.length, a.columns);
  for (let i = 0; i < sorted.length; i++)
    order.forEach((column, j) => {
      vt.data[i * a.columns + column] = unordered.data[i * a.columns + j] as number;
    });
  return oriented({ u: transposed(ut), s: Float64Array.from(sorted, (i) => size * (diagonal[i] as number)), vt });
}

/** Rows of a in another order, or some of them. */
function picked({ columns, data }: Matrix, rows: readonly number[]): Matrix {
  const out = matrix(rows.length, columns);
  rows.forEach((row, i) => {
    out.data.set(data.subarray(row * columns, (row + 1) * columns), i * columns);
  });
  return out;
}

/** Negative values become positive, and signs of vectors those that are promised. */
function oriented({ u, s, vt }: Svd): Svd {
  const k = s.length;
  const flipU = (i: number) => {
    for (let row = 0; row < u.rows; row++) u.data[row * k + i] = -(u.data[row * k + i] as number);
  };
  for (let i = 0; i < k; i++) {
    if ((s[i] as number) < 0) flipU(i);
    s[i] = Math.abs(s[i] as number);
    let largest = 0;
    for (let j = 0; j < vt.columns; j++) {
      const value = vt.data[i * vt.columns + j] as number;
      // The first of two that differ by rounding alone.
      if (Math.abs(value) > Math.abs(largest) * (1 + 1e-9)) largest = value;
    }
    if (largest >= 0) continue;
    scale(vt.data, i * vt.columns, vt.columns, -1);
    flipU(i);
  }
  return { u, s, vt };
}

/** Both row by row: qᵀ [k, rows] and r [k, columns]; column j of r is column `order[j]` of a. */
interface Reflected {
  readonly basis: Matrix;
  readonly upper: Matrix;
  readonly order: Int32Array;
}

/** QR by Householder's reflections; with `pivot` columns of a come in the order of what is left of them, until nothing is. */
function reflected(a: Matrix, pivot: boolean): Reflected {
  const { rows: m, columns: n } = a;
  // Columns of a stand in rows, so that every loop runs along memory.
  const work = transposed(a).data;
  const order = Int32Array.from({ length: n }, (_, j) => j);
  const reflections: Float64Array[] = [];
  const tail = (column: number, from: number) => dot(work, column * m + from, work, column * m + from, m - from);
  let first = 0;
  for (let step = 0; step < Math.min(m, n); step++) {
    if (pivot) {
      let [best, most] = [step, -1];
      for (let j = step; j < n; j++) {
        const left = tail(j, step);
        if (left > most) [best, most] = [j, left];
      }
      if (step === 0) first = most;
      // What is left is rounding of the largest column.
      else if (Math.sqrt(most) <= Math.sqrt(first) * Number.EPSILON * Math.sqrt(m)) break;
      swapRows(work, step, best, m);
      [order[step], order[best]] = [order[best] as number, order[step] as number];
    }
    const reflection = reflectionOf(work.slice(step * m + step, (step + 1) * m));
    reflections.push(reflection);
    for (let j = step; j < n; j++) reflect(work, j * m + step, reflection);
  }
  const k = reflections.length;
  const upper = matrix(k, n);
  for (let i = 0; i < k; i++) for (let j = i; j < n; j++) upper.data[i * n + j] = work[j * m + i] as number;
  return { basis: accumulated(reflections, k, m), upper, order };
}

/** The first k rows of the product of reflections, the last one first; each acts on the end of a row. */
function accumulated(reflections: readonly Float64Array[], k: number, m: number): Matrix {
  const out = matrix(k, m);
  for (let i = 0; i < k; i++) {
    out.data[i * m + i] = 1;
    for (let step = reflections.length - 1; step >= 0; step--) {
      const reflection = reflections[step] as Float64Array;
      if (m - reflection.length <= i) reflect(out.data, i * m + m - reflection.length, reflection);
    }
  }
  return out;
}

/** The unit vector v whose reflection turns x, which is overwritten, into the first axis. */
function reflectionOf(x: Float64Array): Float64Array {
  const n = x.length;
  const norm = Math.sqrt(dot(x, 0, x, 0, n));
  const head = x[0] as number;
  x[0] = head > 0 ? head + norm : head - norm;
  const length = Math.sqrt(dot(x, 0, x, 0, n));
  if (length > 0) scale(x, 0, n, 1 / length);
  return x;
}

/** a = leftᵀ·diag·right for a square a, which is overwritten; `diagonal` has any order and signs. */
interface Diagonalized {
  readonly diagonal: Float64Array;
  readonly left: Matrix;
  readonly right: Matrix;
}

function diagonalized({ rows: n, data }: Matrix): Diagonalized {
  const [lefts, rights]: [Float64Array[], Float64Array[]] = [[], []];
  const sums = new Float64Array(n);
  for (let step = 0; step < n - 1; step++) {
    const column = reflectionOf(Float64Array.from({ length: n - step }, (_, i) => data[(step + i) * n + step] as number));
    sums.fill(0);
    for (let i = step; i < n; i++) addTo(sums, step, column[i - step] as number, data, i * n + step, n - step);
    for (let i = step; i < n; i++) addTo(data, i * n + step, -2 * (column[i - step] as number), sums, step, n - step);
    lefts.push(column);
    const row = reflectionOf(data.slice(step * n + step + 1, (step + 1) * n));
    for (let i = step; i < n; i++) reflect(data, i * n + step + 1, row);
    rights.push(row);
  }
  const diagonal = Float64Array.from({ length: n }, (_, i) => data[i * n + i] as number);
  const above = Float64Array.from({ length: Math.max(0, n - 1) }, (_, i) => data[i * n + i + 1] as number);
  const [left, right] = [accumulated(lefts, n, n), accumulated(rights, n, n)];
  iterate(diagonal, above, left, right);
  return { diagonal, left, right };
}

/** QR steps with implicit shifts, until nothing is left above the diagonal d of an upper bidiagonal matrix. */
function iterate(d: Float64Array, e: Float64Array, left: Matrix, right: Matrix): void {
  const n = d.length;
  const at = (x: Float64Array, i: number) => x[i] as number;
  let size = 0;
  for (let i = 0; i < n; i++) size = Math.max(size, Math.abs(at(d, i)) + Math.abs(e[i] ?? 0));
  const tiny = (x: number, beside: number) => Math.abs(x) <= Number.EPSILON * Math.max(beside, size * Number.EPSILON);
  let end = n - 1;
  let steps = 0;
  while (end > 0) {
    let start = end;
    while (start > 0 && !tiny(at(e, start - 1), Math.abs(at(d, start - 1)) + Math.abs(at(d, start)))) start--;
    if (start > 0) e[start - 1] = 0;
    if (start === end) {
      end--;
      continue;
    }
    invariant(++steps < 60 * n, `singular values of [${n}, ${n}] within ${60 * n} steps`);
    let zero = start;
    while (zero < end && !tiny(at(d, zero), size)) zero++;
    if (zero < end) {
      chase(zero, end, d, e, left);
      continue;
    }
    const [p, q, r] = [at(d, end - 1), at(d, end), at(e, end - 1)];
    const before = end - 1 > start ? at(e, end - 2) : 0;
    const half = ((p - q) * (p + q) + (before - r) * (before + r)) / 2;
    const off = p * r;
    const shift = q * q + r * r - (off === 0 ? 0 : (off * off) / (half + (half >= 0 ? 1 : -1) * Math.hypot(half, off)));
    let y = at(d, start) - shift / at(d, start);
    let z = at(e, start);
    for (let i = start; i < end; i++) {
      let [cosine, sine, length] = rotation(y, z);
      if (i > start) e[i - 1] = length;
      y = cosine * at(d, i) + sine * at(e, i);
      e[i] = cosine * at(e, i) - sine * at(d, i);
      z = sine * at(d, i + 1);
      d[i + 1] = cosine * at(d, i + 1);
      turn(right, i, i + 1, cosine, sine);
      [cosine, sine, length] = rotation(y, z);
      d[i] = length;
      [e[i], d[i + 1]] = [cosine * at(e, i) + sine * at(d, i + 1), cosine * at(d, i + 1) - sine * at(e, i)];
      turn(left, i, i + 1, cosine, sine);
      if (i + 1 < end) {
        y = at(e, i);
        z = sine * at(e, i + 1);
        e[i + 1] = cosine * at(e, i + 1);
      }
    }
  }
}

/** Where the diagonal is zero, the number beside it is turned out of the matrix. */
function chase(zero: number, end: number, d: Float64Array, e: Float64Array, left: Matrix): void {
  d[zero] = 0;
  let rest = e[zero] as number;
  e[zero] = 0;
  for (let i = zero + 1; i <= end; i++) {
    const [cosine, sine, length] = rotation(d[i] as number, rest);
    d[i] = length;
    turn(left, i, zero, cosine, sine);
    if (i < end) {
      rest = -sine * (e[i] as number);
      e[i] = cosine * (e[i] as number);
    }
  }
}

/** Cosine, sine and length with [y, z]·[cosine, sine] = length, and nothing across. */
function rotation(y: number, z: number): [cosine: number, sine: number, length: number] {
  const length = Math.hypot(y, z);
  return length === 0 ? [1, 0, 0] : [y / length, z / length, length];
}

/** Rows p and q become cosine·p + sine·q and cosine·q − sine·p. */
function turn({ data, columns }: Matrix, p: number, q: number, cosine: number, sine: number): void {
  const [first, second] = [p * columns, q * columns];
  for (let i = 0; i < columns; i++) {
    const x = data[first + i] as number;
    const y = data[second + i] as number;
    data[first + i] = cosine * x + sine * y;
    data[second + i] = cosine * y - sine * x;
  }
}

/** x − 2 v (v·x), for v of length 1. */
function reflect(data: Float64Array, start: number, reflection: Float64Array): void {
  const n = reflection.length;
  addTo(data, start, -2 * dot(data, start, reflection, 0, n), reflection, 0, n);
}

function dot(x: Float64Array, xStart: number, y: Float64Array, yStart: number, n: number): number {
  // Four sums: additions of one wait for each other.
  let [a, b, c, d] = [0, 0, 0, 0];
  let i = 0;
  for (; i + 3 < n; i += 4) {
    a += (x[xStart + i] as number) * (y[yStart + i] as number);
    b += (x[xStart + i + 1] as number) * (y[yStart + i + 1] as number);
    c += (x[xStart + i + 2] as number) * (y[yStart + i + 2] as number);
    d += (x[xStart + i + 3] as number) * (y[yStart + i + 3] as number);
  }
  for (; i < n; i++) a += (x[xStart + i] as number) * (y[yStart + i] as number);
  return a + b + (c + d);
}

/** out += factor · x. */
function addTo(out: Float64Array, start: number, factor: number, x: Float64Array, xStart: number, n: number): void {
  for (let i = 0; i < n; i++) out[start + i] = (out[start + i] as number) + factor * (x[xStart + i] as number);
}

function scale(data: Float64Array, start: number, n: number, factor: number): void {
  for (let i = start; i < start + n; i++) data[i] = (data[i] as number) * factor;
}

function swapRows(data: Float64Array, p: number, q: number, n: number): void {
  if (p === q) return;
  const held = data.slice(p * n, (p + 1) * n);
  data.copyWithin(p * n, q * n, (q + 1) * n);
  data.set(held, q * n);
}
