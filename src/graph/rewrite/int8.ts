import type { Dim } from '../dim.ts';
import { GEMM } from '../ops/products.ts';
import { int8Linear } from '../ops/quantized.ts';
import type { Program } from '../program.ts';
import { isDrawnBy } from '../value.ts';
import { type Rule, rewrite } from './rewrite.ts';

/** Narrower products gain little or nothing (`bench/int8.mjs`), and those of heads decide most. */
const NARROWEST = 64;

/**
 * A program whose linear layers x·wᵀ + c of `rows` rows multiply 8-bit integers, where w has 64 rows and columns or more.
 * About twice as fast and no longer exact: for programs whose results are compared with each other, not for gradients.
 */
export function quantizeProducts(program: Program, rows: Dim): Program {
  const quantizeProduct: Rule = (node) => {
    if (!isDrawnBy(GEMM, node)) return undefined;
    const { transA, transB, alpha = 1 } = node.attributes;
    if (transA || !transB || alpha !== 1) return undefined;
    const [x, w, c] = node.inputs;
    const wide = w.shape.every((dim) => typeof dim === 'number' && dim >= NARROWEST);
    return wide && x.shape[0] === rows && c.shape.length === 1 ? [int8Linear(x, w, c)] : undefined;
  };
  return rewrite(program, [quantizeProduct]);
}
