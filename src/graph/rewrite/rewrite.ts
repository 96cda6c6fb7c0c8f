import type { Tensor } from '../../base/index.ts';
import type { Program } from '../program.ts';
import { apply, CONSTANT, INPUT, type Node, topological, type Value, WEIGHT } from '../value.ts';

/**
 * A rule looks at a node whose inputs are already rewritten and returns values to stand in place of its outputs,
 * or nothing. Replacements have the same types. `original` is the node as it was in the program, for rules that have
 * looked at the whole of it.
 */
export type Rule = (node: Node, original: Node) => readonly Value[] | undefined;

/** Rebuilds a program bottom-up, applying `rules` until none fires, and sharing equal nodes. */
export function rewrite(program: Program, rules: readonly Rule[]): Program {
  const shared = new Map<string, Node>();
  const ids = new Map<Node, number>();
  const moved = new Map<Value, Value>();
  const large: object[] = [];
  const identity = (data: object) => (large.includes(data) ? large.indexOf(data) : large.push(data) - 1);

  /** One node for each distinct computation (common subexpressions). */
  const share = (node: Node): Node => {
    const key = keyOf(node, (value) => `${ids.get(value.node)}.${value.index}`, identity);
    const known = shared.get(key);
    if (known) return known;
    shared.set(key, node);
    ids.set(node, ids.size);
    return node;
  };

  const place = (node: Node, original: Node): readonly Value[] => {
    for (const rule of rules) {
      const replacement = rule(node, original);
      if (replacement) {
        for (const inner of topological(replacement, (known) => ids.has(known))) {
          const inputs = inner.inputs.map((value) => moved.get(value) ?? value);
          const settled = place(inputs.every((value, i) => value === inner.inputs[i]) ? inner : rebuilt(inner, inputs), inner);
          inner.outputs.forEach((output, i) => void moved.set(output, settled[i] as Value));
        }
        return replacement.map((value) => moved.get(value) ?? value);
      }
    }
    return share(node).outputs;
  };

  for (const node of topological(Object.values(program.outputs))) {
    const inputs = node.inputs.map((value) => moved.get(value) as Value);
    const settled = place(inputs.every((value, i) => value === node.inputs[i]) ? node : rebuilt(node, inputs), node);
    node.outputs.forEach((output, i) => void moved.set(output, settled[i] as Value));
  }
  return { outputs: Object.fromEntries(Object.entries(program.outputs).map(([name, value]) => [name, moved.get(value) as Value])) };
}

function rebuilt(node: Node, inputs: readonly Value[]): Node {
  return (apply(node.op, inputs, node.attributes)[0] as Value).node;
}

/** Constants up to this many elements are compared by value; larger ones by identity. */
const COMPARED = 64;

function keyOf(node: Node, id: (value: Value) => string, identity: (data: object) => number): string {
  const { op, attributes } = node;
  if (op === INPUT || op === WEIGHT) return `${op.name} ${attributes.name}`;
  if (op === CONSTANT) {
    const { dtype, shape, data } = attributes.value as Tensor;
    return `Constant ${dtype} [${shape}] ${data.length <= COMPARED ? [...data].map((x) => (Object.is(x, -0) ? '-0' : x)).join() : `#${identity(data)}`}`;
  }
  const settings = Object.keys(attributes)
    .sort()
    .map((key) => `${key}=${attributes[key]}`);
  return `${op.name} ${node.inputs.map(id).join()} ${settings.join(';')} ${node.outputs.length}`;
}
