import { type DType, fail, type Tensor } from '../base/index.ts';
import type { Dim, Shape } from './dim.ts';

/**
 * A symbolic tensor: one output of one node. Values are immutable and hold their inputs, so a program is just the set
 * of values that its outputs reach; there is no ambient graph, and what nothing reaches costs nothing.
 */
export interface Value {
  readonly node: Node;
  readonly index: number;
  readonly dtype: DType;
  readonly shape: Shape;
}

/** One use of an operator; `I` and `A` where it is known which. */
export interface Node<I extends Values = Values, A extends Attributes = Attributes> {
  readonly op: Op;
  readonly inputs: I;
  readonly attributes: A;
  readonly outputs: readonly [Value, ...Value[]];
}

export type Values = readonly Value[];
export type Attribute = number | string | boolean | readonly number[] | readonly Dim[] | Tensor | undefined;
export type Attributes = Readonly<Record<string, Attribute>>;
export interface Type {
  readonly dtype: DType;
  readonly shape: Shape;
}

/** An n-dimensional array of the reference session: everything is float64 there (integers are exact to 2⁵³). */
export interface Nd {
  readonly shape: readonly number[];
  readonly data: Float64Array;
}

/**
 * Given the gradient of the loss by each output (absent where it has none, which the first always has), the gradient by each input.
 * An absent entry means that this input never gets a gradient through this operator (an index, a condition). A gradient may have
 * the shape that its input was broadcast to, or one that broadcasts to the input's: `gradients` settles both.
 */
export type GradientRule<I extends Values = Values, A extends Attributes = Attributes> = {
  rule(node: Node<I, A>, upstream: readonly [Value, ...(Value | undefined)[]]): readonly (Value | undefined)[];
}['rule'];

/**
 * Everything that is known of one operator, in one place. An operator may name the inputs and attributes that it is drawn with, and is
 * an operator like any other for those who do not know them: all of its parts have the types of methods, which allow that.
 */
export interface Op<I extends Values = Values, A extends Attributes = Attributes> {
  /** The ONNX operator name; leaves ('Input', 'Weight', 'Constant') have none. */
  readonly name: string;
  /** Empty for the standard domain. */
  readonly domain?: string;
  /** Types of the outputs. Throws `graph.shape` or `graph.dtype`. */
  infer(inputs: I, attributes: A): Type[];
  /** The gradient, or why there is none. */
  readonly gradient: GradientRule<I, A> | { readonly none: string };
  /** The plain float64 meaning; `shapes` are the output shapes with all symbols bound, `size` binds those of an attribute. */
  reference(
    inputs: { readonly [K in keyof I]: Nd },
    attributes: A,
    shapes: readonly [readonly number[], ...(readonly number[])[]],
    size: (dim: Dim) => number,
  ): Nd[];
  /** How it is written as ONNX where that is not simply one node of the same name with the same attributes. */
  emit?(node: Node<I, A>, emitter: Emitter): void;
}

/** What an operator may use to write itself as ONNX nodes; `onnx/` implements it. */
export interface Emitter {
  /** The ONNX name of a value. */
  name(value: Value): string;
  /** Adds a node; `inputs` are ONNX names ('' leaves one out). */
  node(type: string, inputs: readonly string[], outputs: readonly string[], attributes?: Attributes, domain?: string): void;
  /** An initialiser holding these int64 values. */
  integers(values: readonly number[], scalar?: boolean): string;
  /** An int64 vector holding the (symbolic) dimensions. */
  shape(dims: Shape): string;
  /** A fresh name. */
  fresh(hint: string): string;
}

/** Whether an operator drew the node, whose inputs and attributes are then known. */
export function isDrawnBy<I extends Values, A extends Attributes>(op: Op<I, A>, node: Node): node is Node<I, A> {
  return node.op === op;
}

/** Draws a node and returns its outputs. */
export function apply<I extends Values, A extends Attributes>(
  op: Op<I, A>,
  inputs: NoInfer<I>,
  attributes: NoInfer<A> = {} as A,
): Node['outputs'] {
  const types = op.infer(inputs, attributes);
  const outputs: Value[] = [];
  const node: Node = { op, inputs, attributes, outputs: outputs as readonly Value[] as Node['outputs'] };
  types.forEach((type, index) => void outputs.push({ node, index, ...type }));
  return node.outputs;
}

/** Draws a node with one output. */
export function apply1<I extends Values, A extends Attributes>(op: Op<I, A>, inputs: NoInfer<I>, attributes: NoInfer<A> = {} as A): Value {
  return apply(op, inputs, attributes)[0];
}

function leaf(name: string): Op {
  return {
    name,
    infer: (_, { dtype, shape }) => [{ dtype: dtype as DType, shape: shape as Shape }],
    gradient: { none: 'a leaf: it has no inputs' },
    reference: () => fail({ code: 'internal.invariant', subject: `a ${name} computed` }),
  };
}

export const INPUT = leaf('Input');
export const WEIGHT = leaf('Weight');
export const CONSTANT = leaf('Constant');

/** A tensor fed at every run. */
export function input(name: string, dtype: DType, shape: Shape): Value {
  return apply1(INPUT, [], { name, dtype, shape });
}

/** A frozen tensor, known by name, held by the session. */
export function weight(name: string, dtype: DType, shape: readonly number[]): Value {
  return apply1(WEIGHT, [], { name, dtype, shape });
}

/** A tensor that is part of the program. */
export function constant(value: Tensor): Value {
  return apply1(CONSTANT, [], { dtype: value.dtype, shape: value.shape, value });
}

export function scalar(value: number): Value {
  return constant({ dtype: 'float32', shape: [], data: Float32Array.of(value) });
}

/** The single constant number a value holds, if it does. */
export function scalarOf(value: Value): number | undefined {
  if (value.node.op !== CONSTANT) return undefined;
  const { data } = value.node.attributes.value as Tensor;
  return data.length === 1 ? Number(data[0]) : undefined;
}

export function nameOf(value: Value): string | undefined {
  return value.node.op === INPUT || value.node.op === WEIGHT ? (value.node.attributes.name as string) : undefined;
}

/**
 * All nodes that `outputs` reach, inputs before users; those that are `known`, and what only they reach, are left out.
 * Iterative: deep programs must not overflow the stack.
 */
export function topological(outputs: Iterable<Value>, known: (node: Node) => boolean = () => false): Node[] {
  const order: Node[] = [];
  const state = new Map<Node, 'open' | 'done'>();
  const stack: Node[] = [...new Set([...outputs].map((value) => value.node))].filter((node) => !known(node)).reverse();
  while (stack.length) {
    const node = stack[stack.length - 1] as Node;
    const seen = state.get(node);
    if (seen === undefined) {
      state.set(node, 'open');
      for (let i = node.inputs.length - 1; i >= 0; i--) {
        const parent = (node.inputs[i] as Value).node;
        if (!state.has(parent) && !known(parent)) stack.push(parent);
      }
    } else {
      stack.pop();
      if (seen === 'open') {
        state.set(node, 'done');
        order.push(node);
      }
    }
  }
  return order;
}

export function requireDtype(op: string, value: Value, ...allowed: DType[]): void {
  if (!allowed.includes(value.dtype)) fail({ code: 'graph.dtype', subject: op, found: value.dtype, expected: allowed.join(' or ') });
}

export function requireShape(condition: boolean, op: string, inputs: readonly Value[], expected: string): void {
  if (!condition) fail({ code: 'graph.shape', subject: op, found: inputs.map((value) => `[${value.shape}]`).join(', '), expected });
}
