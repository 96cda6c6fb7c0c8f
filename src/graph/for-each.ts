import { fail } from '../base/index.ts';
import { type Dim, multiplyDims, normalizeAxis } from './dim.ts';
import { add, ELEMENTWISE, mul } from './ops/elementwise.ts';
import { GATHER, gather, pick, SCATTER_EACH, SCATTER_ROWS } from './ops/indexed.ts';
import { LAYER_NORM, LOG_SOFTMAX, layerNorm, SOFTMAX } from './ops/normalize.ts';
import { GEMM, MATMUL, matmul } from './ops/products.ts';
import { REDUCTIONS } from './ops/reduce.ts';
import { CONCAT, concat, EXPAND, expand, RESHAPE, reshape, SLICE, slice, TRANSPOSE, transpose } from './ops/shape.ts';
import { apply1, isDrawnBy, type Node, type Op, scalar, topological, type Value } from './value.ts';

/**
 * What differs from item to item: [n, …shape] for a value of that shape in the drawing of one item. Without `axis` n counts the
 * items, else modules, of which several items may have the same one.
 */
export interface Many {
  readonly value: Value;
  readonly axis?: ModuleAxis;
  /** The same for each item, where there is a shorter way to it than by the axis. */
  readonly ofItems?: () => Value;
}

export interface ModuleAxis {
  /** [modules, …] → [items, …]: to each item that of its own module. */
  toItems(value: Value): Value;
}

/**
 * Turns what was drawn for one item into a computation for many. `leaf` says which values of the drawing differ among items; what
 * depends on none of these is computed once, and what depends on modules alone once for each module. Gives [items, …shape] for each
 * output, as many as `items` says.
 * @throws graph.invalid for an operator that cannot be computed for many at once
 */
export function forEach(outputs: readonly Value[], items: Dim, leaf: (value: Value) => Many | undefined): Value[] {
  const many = new Map<Value, Many>();
  const isLeaf = ({ outputs: [value] }: Node): boolean => {
    const found = many.get(value) ?? leaf(value);
    if (found) many.set(value, found);
    return found !== undefined;
  };
  for (const node of topological(outputs, isLeaf)) {
    const inputs = node.inputs.map((value) => many.get(value));
    if (node.inputs.some(({ node: from, index }) => index > 0 && many.has(from.outputs[0]))) refuse(node.op, 'a second output');
    const [first, ...others] = inputs.filter((one) => one !== undefined);
    if (!first) continue;
    const axis = others.every((one) => one.axis === first.axis) ? first.axis : undefined;
    const operands = node.inputs.map((value, i): Operand => {
      const own = inputs[i];
      return { value: own ? (axis ? own.value : ofItems(own)) : value, rank: value.shape.length, many: own !== undefined };
    });
    many.set(node.outputs[0], { value: drawn(node, operands), ...(axis && { axis }) });
  }
  return outputs.map((output) => {
    const found = many.get(output);
    return found ? ofItems(found) : expand(reshape(output, [1, ...output.shape]), [items, ...output.shape]);
  });
}

interface Operand {
  /** [n, …] where there are many. */
  readonly value: Value;
  /** Axes of the value in the drawing of one item. */
  readonly rank: number;
  readonly many: boolean;
}

function ofItems({ value, axis, ofItems: shorter }: Many): Value {
  return shorter ? shorter() : axis ? axis.toItems(value) : value;
}

/** The node with one axis more in front of those operands that are many. */
function drawn(node: Node, operands: readonly Operand[]): Value {
  const [one] = operands as readonly [Operand];
  const x = one.value;
  const n = operands.find(({ many }) => many)?.value.shape[0] as Dim;
  const { op } = node;
  if (ELEMENTWISE.includes(op) || op === MATMUL) return apply1(op, broadcast(operands), node.attributes);
  if (op === SOFTMAX || op === LOG_SOFTMAX) return apply1(op, [x]);
  if (isDrawnBy(RESHAPE, node)) return reshape(x, [n, ...node.attributes.shape]);
  if (isDrawnBy(EXPAND, node)) return expand(aligned(one, node.attributes.shape.length), [n, ...node.attributes.shape]);
  if (isDrawnBy(TRANSPOSE, node)) return transpose(x, [0, ...node.attributes.perm.map((axis) => axis + 1)]);
  if (isDrawnBy(SLICE, node)) return slice(x, node.attributes.axis + 1, node.attributes.start, node.attributes.end);
  if (isDrawnBy(CONCAT, node)) {
    const parts = operands.map(({ value, many }) => (many ? value : expand(reshape(value, [1, ...value.shape]), [n, ...value.shape])));
    return concat(parts, node.attributes.axis + 1);
  }
  if (REDUCTIONS.some((reduction) => (reduction as Op) === op)) {
    const axes = (node.attributes.axes as readonly number[]).map((axis) => normalizeAxis(axis, one.rank) + 1);
    return apply1(op, [x], { axes });
  }
  if (isDrawnBy(GEMM, node)) {
    const [a, b, c] = operands as readonly [Operand, Operand, Operand];
    const [left, right] = broadcast([a, b]) as [Value, Value];
    const [product, shift] = broadcast([{ value: matmul(left, right, node.attributes), rank: 2, many: a.many || b.many }, c]);
    return add(product as Value, shift as Value);
  }
  if (isDrawnBy(LAYER_NORM, node)) {
    const [, gain, bias] = operands as readonly [Operand, Operand, Operand];
    const { epsilon } = node.attributes;
    if (!gain.many && !bias.many) return layerNorm(x, gain.value, bias.value, epsilon);
    const width = [node.inputs[0].shape.at(-1) as number];
    const plain = { ...one, value: layerNorm(x, expand(scalar(1), width), expand(scalar(0), width), epsilon) };
    const [normed, factors] = broadcast([plain, gain]) as [Value, Value];
    const scaled = { value: mul(normed, factors), rank: one.rank, many: one.many || gain.many };
    const [before, shift] = broadcast([scaled, bias]) as [Value, Value];
    return add(before, shift);
  }
  if (op === GATHER) return gathered(operands as readonly [Operand, Operand]);
  if (isDrawnBy(SCATTER_ROWS, node)) {
    const [updates, indices] = operands.map(({ value, many }) =>
      many ? value : expand(reshape(value, [1, ...value.shape]), [n, ...value.shape]),
    );
    const { shape } = node.attributes;
    if (shape.length === 1 && operands[1]?.rank === 1)
      return apply1(SCATTER_EACH, [updates as Value, indices as Value], { shape: [n, ...shape] });
  }
  return refuse(op, 'values that differ among items');
}

/** The operand with so many axes after the first, where it has a first one: operators broadcast from the right. */
function aligned({ value, rank, many }: Operand, to: number): Value {
  if (!many || rank === to) return value;
  const [first, ...rest] = value.shape as [Dim, ...Dim[]];
  return reshape(value, [first, ...new Array<Dim>(to - rank).fill(1), ...rest]);
}

function broadcast(operands: readonly Operand[]): Value[] {
  const rank = Math.max(...operands.map((operand) => operand.rank));
  return operands.map((operand) => aligned(operand, rank));
}

function gathered([table, indices]: readonly [Operand, Operand]): Value {
  if (!table.many) return gather(table.value, indices.value);
  if (indices.many) return picked(table, indices);
  const behind = Array.from({ length: table.rank - 1 }, (_, i) => i + 2);
  const found = gather(transpose(table.value, [1, 0, ...behind]), indices.value);
  const front = Array.from({ length: indices.rank }, (_, i) => i);
  return transpose(found, [indices.rank, ...front, ...behind.map((_, i) => indices.rank + 1 + i)]);
}

/** Table [n, m] and indices [n, …], of each item its own: one element a time. */
function picked(table: Operand, indices: Operand): Value {
  const [n, ...inner] = indices.value.shape as [Dim, ...Dim[]];
  const count = multiplyDims(...inner);
  if (table.rank !== 1 || typeof count !== 'number') return refuse(GATHER as Op, 'rows of tables that differ among items');
  const flat = reshape(indices.value, [n, count]);
  const elements = Array.from({ length: count }, (_, i) => reshape(pick(table.value, reshape(slice(flat, 1, i, i + 1), [n])), [n, 1]));
  return reshape(concat(elements, 1), [n, ...inner]);
}

function refuse({ name }: Op, found: string): never {
  return fail({ code: 'graph.invalid', subject: `${name} for many items at once`, found, expected: 'an operator that can be computed so' });
}
