import { add, erf, GELU, mul } from '../ops/elementwise.ts';
import { SOFTMAX } from '../ops/normalize.ts';
import { MATMUL, matmul } from '../ops/products.ts';
import { reduceSum } from '../ops/reduce.ts';
import type { Program } from '../program.ts';
import { isDrawnBy, type Node, scalar, scalarOf, topological, type Value } from '../value.ts';
import { type Rule, rewrite } from './rewrite.ts';

/** What pays only where forward and backward stand in one program. */

/**
 * A GELU whose derivative is computed too is taken apart, so that both share their error function. Alone it stays one node,
 * which is faster.
 */
export function shareErf(program: Program): Program {
  const nodes = topological(Object.values(program.outputs));
  const halves = new Set(nodes.filter((node) => node.op.name === 'Erf').map((node) => halfOf(node.inputs[0] as Value)));
  const shared = new Set(nodes.filter((node) => node.op === GELU && halves.has(node.inputs[0])));
  const rule: Rule = ({ inputs: [x] }, original) => {
    if (!shared.has(original)) return undefined;
    const u = mul(x as Value, scalar(Math.SQRT1_2));
    return [mul(mul(u, add(erf(u), scalar(1))), scalar(Math.SQRT1_2))];
  };
  return shared.size === 0 ? program : rewrite(program, [rule]);
}

/** x where the value is x/√2. */
function halfOf({ node }: Value): Value | undefined {
  return node.op.name === 'Mul' && scalarOf(node.inputs[1] as Value) === Math.fround(Math.SQRT1_2) ? node.inputs[0] : undefined;
}

/**
 * In the gradient of softmax(S)·V with or without a dropout mask m, the sum over a row of dP∘P, where dP = (dO·Vᵀ)∘m, is the
 * sum over the same row of dO∘O (Dao et al. 2022, equation 4): head-wide rows instead of length-wide ones.
 */
export const sumOverOutputs: Rule = ({ op, inputs: [product], attributes: { axes } }) => {
  if (op.name !== 'ReduceSum' || product?.node.op.name !== 'Mul' || String(axes) !== '-1') return undefined;
  for (const [slope, weights] of pairsOf(product.node)) {
    if (weights.node.op !== SOFTMAX) continue;
    const [bare, mask] = slope.node.op.name === 'Mul' ? (slope.node.inputs as [Value, Value]) : [slope, undefined];
    if (!isDrawnBy(MATMUL, bare.node)) continue;
    const { transA, transB, alpha } = bare.node.attributes;
    if (transA || !transB || alpha !== undefined) continue;
    const [upstream, values] = bare.node.inputs;
    return [reduceSum(mul(upstream, matmul(mask ? mul(weights, mask) : weights, values)), [-1])];
  }
  return undefined;
};

function pairsOf({ inputs }: Node): readonly (readonly [Value, Value])[] {
  const [a, b] = inputs as [Value, Value];
  return [
    [a, b],
    [b, a],
  ];
}
