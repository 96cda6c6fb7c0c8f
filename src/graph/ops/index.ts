import type { Op } from '../value.ts';
import { ELEMENTWISE } from './elementwise.ts';
import { INDEXED } from './indexed.ts';
import { NORMALIZERS } from './normalize.ts';
import { PRODUCTS } from './products.ts';
import { QUANTIZED } from './quantized.ts';
import { REDUCTIONS } from './reduce.ts';
import { SHAPES } from './shape.ts';

export * from './elementwise.ts';
export { gather, pick, scatterRows } from './indexed.ts';
export { layerNorm, logSoftmax, softmax } from './normalize.ts';
export { gemm, matmul } from './products.ts';
export { int8Linear } from './quantized.ts';
export { reduceMax, reduceMean, reduceSum } from './reduce.ts';
export { concat, expand, reshape, slice, transpose } from './shape.ts';

/** Every operator that programs are drawn with; rewrites add fused ones of their own. */
export const OPS: readonly Op[] = [...ELEMENTWISE, ...REDUCTIONS, ...SHAPES, ...INDEXED, ...PRODUCTS, ...NORMALIZERS, ...QUANTIZED];
