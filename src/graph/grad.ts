import { fail } from '../base/index.ts';
import { type Shape, sameShape } from './dim.ts';
import { add } from './ops/elementwise.ts';
import { reduceSum } from './ops/reduce.ts';
import { expand, reshape } from './ops/shape.ts';
import { type Node, scalar, topological, type Value } from './value.ts';

/**
 * Reverse-mode differentiation: the gradient of the scalar `loss` by each value of `by`, as ordinary graph.
 * Only nodes on a path from `by` to `loss` are differentiated, so nothing is drawn below the lowest of them.
 * @throws graph.gradient when the loss is no scalar, does not depend on a value, or the path crosses an operator without gradient.
 */
export function gradients(loss: Value, by: readonly Value[]): Value[] {
  if (loss.shape.length !== 0) fail({ code: 'graph.gradient', subject: 'the loss', found: `shape [${loss.shape}]`, expected: 'a scalar' });
  const order = topological([loss]);
  const dependent = dependents(order, by);
  const sums = new Map<Value, Value>([[loss, scalar(1)]]);
  for (const node of order.toReversed()) {
    if (!node.inputs.some((value) => leads(value, dependent))) continue;
    const upstream = node.outputs.map((output) => sums.get(output));
    if (upstream.every((gradient) => gradient === undefined)) continue;
    for (const [i, slope] of differentiate(node, upstream).entries()) {
      const to = node.inputs[i] as Value;
      if (slope === undefined || !dependent.has(to.node)) continue;
      const gradient = sumTo(slope, to.shape);
      const before = sums.get(to);
      sums.set(to, before === undefined ? gradient : add(before, gradient));
    }
  }
  return by.map((value) => {
    const gradient = sums.get(value);
    if (gradient === undefined)
      return fail({
        code: 'graph.gradient',
        subject: `a value of shape [${value.shape}]${describe(value)}`,
        found: 'no path to the loss',
        expected: 'a loss that depends on it',
      });
    return gradient;
  });
}

function differentiate(node: Node, upstream: readonly (Value | undefined)[]): readonly (Value | undefined)[] {
  const { op } = node;
  const [first, ...others] = upstream;
  if (typeof op.gradient !== 'function')
    return fail({
      code: 'graph.gradient',
      subject: op.name,
      found: 'no gradient',
      expected: 'a differentiable operator',
      next: op.gradient.none,
    });
  if (first === undefined)
    return fail({
      code: 'graph.gradient',
      subject: op.name,
      found: 'a loss that depends on its statistics alone, as second derivatives do',
      expected: 'one that depends on its result',
    });
  return op.gradient(node, [first, ...others]);
}

/**
 * Undoes broadcasting, so that no gradient rule has to: sums a gradient over the axes along which a value of `shape` was widened.
 * A gradient that was never widened, such as the same number for a whole row, is widened to `shape`.
 */
function sumTo(gradient: Value, shape: Shape): Value {
  if (sameShape(gradient.shape, shape)) return gradient;
  const added = gradient.shape.length - shape.length;
  const axes = gradient.shape.flatMap((dim, axis) => (axis < added || (shape[axis - added] === 1 && dim !== 1) ? [axis] : []));
  const summed = axes.length ? reduceSum(gradient, axes) : gradient;
  return expand(reshape(summed, summed.shape.slice(Math.max(0, added))), shape);
}

/** Nodes through which `by` reaches the end, `by` included. Paths end at operators that stop gradients on purpose (conditions). */
function dependents(order: readonly Node[], by: readonly Value[]): Set<Node> {
  const found = new Set(by.map((value) => value.node));
  for (const node of order) if (node.inputs.some((value) => leads(value, found))) found.add(node);
  return found;
}

function leads(value: Value, dependent: ReadonlySet<Node>): boolean {
  return value.dtype === 'float32' && dependent.has(value.node);
}

function describe(value: Value): string {
  const { name } = value.node.attributes;
  return typeof name === 'string' ? ` ('${name}')` : '';
}
