import { fail } from '../base/index.ts';
import { type Dim, scaledSymbol, symbolsOf } from './dim.ts';
import { INPUT, type Node, nameOf, topological, type Value } from './value.ts';

/** A complete computation: named outputs; inputs and weights are found by reachability. */
export interface Program {
  readonly outputs: Readonly<Record<string, Value>>;
}

interface ProgramParts {
  readonly nodes: readonly Node[];
  readonly inputs: readonly Value[];
  readonly weights: readonly Value[];
}

/** The nodes of a program in order, and its inputs and weights. Throws `graph.invalid` when names clash. */
export function partsOf(program: Program): ProgramParts {
  const nodes = topological(Object.values(program.outputs));
  const leaves = (op: string) => nodes.filter((node) => node.op.name === op).map((node) => node.outputs[0]);
  const parts = { nodes, inputs: leaves('Input'), weights: leaves('Weight') };
  const names = [...parts.inputs, ...parts.weights].map((value) => nameOf(value) as string);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined)
    fail({ code: 'graph.invalid', subject: `input or weight '${twice}'`, found: 'two of that name', expected: 'one' });
  return parts;
}

/**
 * Checks a program's grammar: every node's outputs are what its operator infers from its inputs, names are unique,
 * every symbol is fixed by some input. Called after each rewrite in tests.
 * @throws graph.invalid, graph.shape, graph.dtype
 */
export function verify(program: Program): void {
  const { nodes, inputs } = partsOf(program);
  const symbols = new Set<Dim>(inputs.flatMap((value) => value.shape.flatMap((dim) => scaledSymbol(dim)?.symbol ?? [])));
  for (const node of nodes) {
    const types = node.op.infer(node.inputs, node.attributes);
    types.forEach(({ dtype, shape }, i) => {
      const output = node.outputs[i];
      if (output === undefined || output.dtype !== dtype || String(output.shape) !== String(shape))
        fail({
          code: 'graph.invalid',
          subject: `output ${i} of ${node.op.name}`,
          found: output ? `${output.dtype}[${output.shape}]` : 'none',
          expected: `${dtype}[${shape}]`,
        });
    });
    for (const output of node.outputs)
      for (const dim of output.shape)
        for (const symbol of symbolsOf(dim))
          if (!symbols.has(symbol))
            fail({ code: 'graph.invalid', subject: `dimension '${symbol}' of ${node.op.name}`, found: 'no input that fixes it' });
  }
  if (inputs.some((value) => value.node.op !== INPUT)) fail({ code: 'graph.invalid', subject: 'inputs' });
}

/** A program as text, one node a line: for reading, and for snapshots in tests. */
export function print(program: Program): string {
  const { nodes } = partsOf(program);
  const names = new Map<Value, string>();
  let count = 0;
  const lines = nodes.map((node) => {
    for (const value of node.outputs) names.set(value, nameOf(value) ?? `%${count++}`);
    const outputs = node.outputs.map((value) => `${names.get(value)}: ${value.dtype}[${value.shape}]`).join(', ');
    const { dtype: _dtype, shape, name: _name, value: held, ...rest } = node.attributes;
    const shown = node.op.name === 'Reshape' || node.op.name === 'Expand' ? {} : rest;
    const constant = held && typeof held === 'object' && 'data' in held && held.data.length <= 4 ? ` ${[...held.data].join(' ')}` : '';
    const attributes = Object.entries(shown).map(([key, value]) => `${key}=${value}`);
    void shape;
    return `${outputs} = ${node.op.name}(${[...node.inputs.map((value) => names.get(value)), ...attributes].join(', ')})${constant}`;
  });
  const outputs = Object.entries(program.outputs).map(([name, value]) => `${name} <- ${names.get(value)}`);
  return [...lines, ...outputs].join('\n');
}
