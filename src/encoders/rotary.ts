import { add, concat, constant, type Dim, mul, reshape, slice, sub, type Value } from '../graph/index.ts';

/** Turns x [batch, heads, tokens, e] by the positions of its tokens: those from `from` up to `to`. */
export type Turn = (x: Value, from: Dim, to: Dim) => Value;

/**
 * Rotary positions (Su et al. 2021): at position p the pair (xᵢ, xᵢ₊ₑ⸝₂) is turned by the angle p·θ^(−2i/e), so that the product of a
 * query and a key depends on how far apart they are. `width` is e, `most` the greatest number of positions.
 *
 * The tables of all positions are put together from those of p mod n and of n⌊p/n⌋: cos(a + b) = cos a cos b − sin a sin b. A
 * program holds 2·√most rows of numbers instead of `most`.
 */
export function rotaryPositions(theta: number, width: number, most: number): Turn {
  const half = width / 2;
  const near = 2 ** Math.ceil(Math.log2(most) / 2);
  const far = Math.ceil(most / near);
  const [a, b] = [waves(theta, half, far, near), waves(theta, half, near, 1)];
  const whole = (sum: Value) => reshape(sum, [far * near, half]);
  const apart = (x: Value) => reshape(x, [far, 1, half]);
  const cos = whole(sub(mul(apart(a.cos), b.cos), mul(apart(a.sin), b.sin)));
  const sin = whole(add(mul(apart(a.sin), b.cos), mul(apart(a.cos), b.sin)));
  return (x, from, to) => {
    const [c, s] = [slice(cos, 0, from, to), slice(sin, 0, from, to)];
    const [first, second] = [slice(x, 3, 0, half), slice(x, 3, half, width)];
    return concat([sub(mul(first, c), mul(second, s)), add(mul(second, c), mul(first, s))], 3);
  };
}

/** cos and sin [rows, half] of the angles at positions 0, step, 2·step, …. */
function waves(theta: number, half: number, rows: number, step: number): { readonly cos: Value; readonly sin: Value } {
  const table = (wave: (angle: number) => number) => {
    const data = Float32Array.from({ length: rows * half }, (_, i) => wave(Math.floor(i / half) * step * theta ** (-(i % half) / half)));
    return constant({ dtype: 'float32', shape: [rows, half], data });
  };
  return { cos: table(Math.cos), sin: table(Math.sin) };
}
