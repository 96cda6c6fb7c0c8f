/** A symmetric matrix [n, n] as Vᵀ diag(values) V; the rows of `vectors` [n, n] are V's. In no order. */
interface Eigen {
  readonly values: Float64Array;
  readonly vectors: Float64Array;
}

/** Householder's reflections to three diagonals, then QL steps with implicit shifts (Golub & Van Loan, chapter 8). */
export function eigenSymmetric(matrix: Float64Array, n: number): Eigen {
  const { diagonal, beside, basis } = tridiagonal(matrix, n);
  for (let low = 0; low < n; low++) for (let high = endOfBlock(low); high > low; high = endOfBlock(low)) shiftedStep(low, high);
  return { values: diagonal, vectors: basis };

  /** The last row of the block that begins at `low`: what stands beside the diagonal after it is nothing. */
  function endOfBlock(low: number): number {
    let high = low;
    while (high < n - 1) {
      const size = Math.abs(diagonal[high] as number) + Math.abs(diagonal[high + 1] as number);
      if (size + Math.abs(beside[high] as number) === size) break;
      high++;
    }
    return high;
  }

  function shiftedStep(low: number, high: number): void {
    const [first, second, off] = [diagonal[low] as number, diagonal[low + 1] as number, beside[low] as number];
    const half = (second - first) / (2 * off);
    const shift = first - off / (half + (half < 0 ? -1 : 1) * Math.hypot(half, 1));
    let [sine, cosine, carried] = [1, 1, 0];
    let g = (diagonal[high] as number) - shift;
    for (let i = high - 1; i >= low; i--) {
      const f = sine * (beside[i] as number);
      const b = cosine * (beside[i] as number);
      const r = Math.hypot(f, g);
      beside[i + 1] = r;
      if (r === 0) {
        diagonal[i + 1] = (diagonal[i + 1] as number) - carried;
        beside[high] = 0;
        return;
      }
      [sine, cosine] = [f / r, g / r];
      g = (diagonal[i + 1] as number) - carried;
      const t = ((diagonal[i] as number) - g) * sine + 2 * cosine * b;
      carried = sine * t;
      diagonal[i + 1] = g + carried;
      g = cosine * t - b;
      rotate(i, cosine, sine);
    }
    diagonal[low] = (diagonal[low] as number) - carried;
    beside[low] = g;
    beside[high] = 0;
  }

  function rotate(row: number, cosine: number, sine: number): void {
    const [above, below] = [row * n, (row + 1) * n];
    for (let j = 0; j < n; j++) {
      const [a, b] = [basis[above + j] as number, basis[below + j] as number];
      basis[above + j] = cosine * a - sine * b;
      basis[below + j] = sine * a + cosine * b;
    }
  }
}

/** basisᵀ T basis = matrix, where T has `diagonal`, and `beside` it i ↔ i + 1. */
function tridiagonal(matrix: Float64Array, n: number) {
  const a = matrix.slice();
  const basis = new Float64Array(n * n);
  for (let i = 0; i < n; i++) basis[i * (n + 1)] = 1;
  const [v, w] = [new Float64Array(n), new Float64Array(n)];
  for (let k = 0; k < n - 2; k++) {
    let length = 0;
    for (let i = k + 1; i < n; i++) length = Math.hypot(length, a[i * n + k] as number);
    if (length === 0) continue;
    const first = a[(k + 1) * n + k] as number;
    const target = first > 0 ? -length : length;
    let norm = 0;
    for (let i = k + 1; i < n; i++) {
      v[i] = (a[i * n + k] as number) - (i === k + 1 ? target : 0);
      norm = Math.hypot(norm, v[i] as number);
    }
    for (let i = k + 1; i < n; i++) v[i] = (v[i] as number) / norm;

    let along = 0;
    for (let i = k + 1; i < n; i++) {
      let sum = 0;
      for (let j = k + 1; j < n; j++) sum += (a[i * n + j] as number) * (v[j] as number);
      w[i] = sum;
      along += sum * (v[i] as number);
    }
    for (let i = k + 1; i < n; i++) w[i] = (w[i] as number) - along * (v[i] as number);
    for (let i = k + 1; i < n; i++)
      for (let j = k + 1; j < n; j++)
        a[i * n + j] = (a[i * n + j] as number) - 2 * ((v[i] as number) * (w[j] as number) + (w[i] as number) * (v[j] as number));
    a[(k + 1) * n + k] = target;

    const projected = w.fill(0);
    for (let i = k + 1; i < n; i++)
      for (let j = 0; j < n; j++) projected[j] = (projected[j] as number) + (v[i] as number) * (basis[i * n + j] as number);
    for (let i = k + 1; i < n; i++)
      for (let j = 0; j < n; j++) basis[i * n + j] = (basis[i * n + j] as number) - 2 * (v[i] as number) * (projected[j] as number);
  }
  const diagonal = Float64Array.from({ length: n }, (_, i) => a[i * (n + 1)] as number);
  const beside = Float64Array.from({ length: n }, (_, i) => (i < n - 1 ? (a[(i + 1) * n + i] as number) : 0));
  return { diagonal, beside, basis };
}
