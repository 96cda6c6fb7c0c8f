import { fail, invariant } from '../base/index.ts';

/**
 * A dimension: a number, or the canonical text of a polynomial over symbols with integer coefficients,
 * such as 'B', 'B*S', 'S+10'. Equal dimensions are equal strings.
 */
export type Dim = number | string;
export type Shape = readonly Dim[];
export type Bindings = ReadonlyMap<string, number>;

/** Monomial (symbols joined by '*', '' for the constant) → coefficient. */
type Terms = Map<string, number>;

function terms(dim: Dim): Terms {
  if (typeof dim === 'number') return new Map(dim === 0 ? [] : [['', dim]]);
  const out: Terms = new Map();
  for (const term of dim.split('+')) {
    const factors = term.split('*');
    const coefficient = /^-?\d+$/.test(factors[0] as string) ? Number(factors.shift()) : 1;
    const key = factors.sort().join('*');
    out.set(key, (out.get(key) ?? 0) + coefficient);
  }
  return out;
}

function canonical(from: Terms): Dim {
  const kept = [...from].filter(([, coefficient]) => coefficient !== 0);
  if (kept.length === 0) return 0;
  if (kept.length === 1 && kept[0]?.[0] === '') return kept[0][1];
  kept.sort(([a], [b]) => (a === '' ? 1 : b === '' ? -1 : a < b ? -1 : 1));
  return kept.map(([key, n]) => (key === '' ? String(n) : n === 1 ? key : `${n}*${key}`)).join('+');
}

export function addDims(a: Dim, b: Dim): Dim {
  if (typeof a === 'number' && typeof b === 'number') return a + b;
  const sum = terms(a);
  for (const [key, n] of terms(b)) sum.set(key, (sum.get(key) ?? 0) + n);
  return canonical(sum);
}

export function multiplyDims(...dims: readonly Dim[]): Dim {
  if (dims.every((dim) => typeof dim === 'number')) return (dims as number[]).reduce((a, b) => a * b, 1) + 0;
  let product: Terms = new Map([['', 1]]);
  for (const dim of dims) {
    const next: Terms = new Map();
    for (const [keyA, a] of product)
      for (const [keyB, b] of terms(dim)) {
        const key = [...keyA.split('*'), ...keyB.split('*')].filter(Boolean).sort().join('*');
        next.set(key, (next.get(key) ?? 0) + a * b);
      }
    product = next;
  }
  return canonical(product);
}

/** A dimension divided by one of its symbols; undefined where not all of its terms have it. */
export function divideDim(dim: Dim, symbol: string): Dim | undefined {
  const quotient: Terms = new Map();
  for (const [key, n] of terms(dim)) {
    const factors = key.split('*');
    const at = factors.indexOf(symbol);
    if (at < 0) return undefined;
    quotient.set(factors.toSpliced(at, 1).join('*'), n);
  }
  return canonical(quotient);
}

/** How many times one dimension is another; undefined where that is no whole number. */
export function timesOf(dim: Dim, base: Dim): number | undefined {
  const [all, one] = [terms(dim), terms(base)];
  const [first] = one;
  const times = first && (all.get(first[0]) ?? 0) / first[1];
  return times !== undefined && Number.isInteger(times) && multiplyDims(times, base) === dim ? times : undefined;
}

/** The value of a dimension once its symbols are known. */
export function evaluateDim(dim: Dim, bindings: Bindings): number {
  if (typeof dim === 'number') return dim;
  const known = bindings.get(dim);
  if (known !== undefined) return known;
  let sum = 0;
  for (const [key, n] of terms(dim))
    sum += key
      .split('*')
      .filter(Boolean)
      .reduce((product, symbol) => product * (bindings.get(symbol) ?? unbound(symbol)), n);
  return sum;
}

function unbound(symbol: string): never {
  return fail({ code: 'graph.shape', subject: `dimension '${symbol}'`, found: 'no input that fixes it' });
}

export function evaluateShape(shape: Shape, bindings: Bindings): number[] {
  return shape.map((dim) => evaluateDim(dim, bindings));
}

/**
 * Learns symbols from an actual shape; throws `graph.shape` when it contradicts the declared one or an earlier binding.
 * A composed dimension is checked once all of its symbols are known.
 */
export function bindShape(subject: string, declared: Shape, actual: readonly number[], bindings: Map<string, number>): void {
  const mismatch = (): never =>
    fail({ code: 'graph.shape', subject, found: `shape [${actual}]`, expected: `[${declared}]${describe(bindings)}` });
  if (declared.length !== actual.length) mismatch();
  declared.forEach((dim, axis) => {
    const n = actual[axis] as number;
    const scaled = typeof dim === 'string' ? scaledSymbol(dim) : undefined;
    if (scaled) {
      const known = bindings.get(scaled.symbol);
      if (n % scaled.factor !== 0) mismatch();
      if (known === undefined) bindings.set(scaled.symbol, n / scaled.factor);
      else if (known * scaled.factor !== n) mismatch();
    } else if (symbolsOf(dim).every((symbol) => bindings.has(symbol)) && evaluateDim(dim, bindings) !== n) mismatch();
  });
}

/** The symbols that a dimension is made of. */
export function symbolsOf(dim: Dim): string[] {
  return typeof dim === 'number' ? [] : dim.split(/[*+]/).filter(isSymbol);
}

function describe(bindings: Bindings): string {
  return bindings.size ? ` with ${[...bindings].map(([symbol, n]) => `${symbol}=${n}`).join(', ')}` : '';
}

/** A symbol times a number, such as 'B' or '4*R': what the shape of an input can fix. */
export function scaledSymbol(dim: Dim): { readonly symbol: string; readonly factor: number } | undefined {
  const match = /^(?:(\d+)\*)?([A-Za-z]\w*)$/.exec(String(dim));
  return match ? { symbol: match[2] as string, factor: Number(match[1] ?? 1) } : undefined;
}

/** Whether a dimension is one bare symbol. */
export function isSymbol(dim: Dim): boolean {
  return typeof dim === 'string' && /^[A-Za-z]\w*$/.test(dim);
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((dim, axis) => dim === b[axis]);
}

/** NumPy broadcasting over symbolic shapes: equal dimensions, or 1 against anything. */
export function broadcastShapes(subject: string, a: Shape, b: Shape): Dim[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, axis) => {
    const left = a[axis - rank + a.length] ?? 1;
    const right = b[axis - rank + b.length] ?? 1;
    if (left === right || right === 1) return left;
    if (left === 1) return right;
    return fail({ code: 'graph.shape', subject, found: `[${a}] and [${b}]`, expected: 'shapes that broadcast' });
  });
}

/** A negative axis counts from the end. */
export function normalizeAxis(axis: number, rank: number): number {
  const positive = axis < 0 ? axis + rank : axis;
  invariant(Number.isInteger(positive) && positive >= 0 && positive < rank, `axis ${axis} of rank ${rank}`);
  return positive;
}
