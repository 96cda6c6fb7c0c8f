import { bytesOf, type DType, invariant, type Tensor } from '../base/index.ts';
import { encodeOnnx, ONNX_DTYPES, type OnnxAttribute, type OnnxNode, type OnnxTensor } from '../formats/onnx.ts';
import {
  type Attribute,
  type Dim,
  type Emitter,
  isSymbol,
  nameOf,
  type Program,
  partsOf,
  type Shape,
  scaledSymbol,
  type Value,
} from '../graph/index.ts';

/** Where values lie outside of the model's bytes. What a location is says the session's options: a file of a folder, a buffer by name. */
export interface ExternalData {
  readonly location: string;
  readonly offset: number;
  readonly byteLength: number;
}

/** Where the values of a weight come from: the model's own bytes, or external data. */
export type WeightPlace = { readonly tensor: Tensor } | ExternalData;

const OPSET = 20;
const IR_VERSION = 9;

/** An ONNX model, and under which names the inputs and outputs of the program appear in it. */
export interface OnnxModel {
  readonly bytes: Uint8Array;
  readonly inputs: ReadonlyMap<string, string>;
  readonly outputs: ReadonlyMap<string, string>;
}

/**
 * Writes a program as an ONNX model. Inputs, weights and outputs go by their place in the order of computation: programs that
 * differ in names alone give the same bytes, and so one session serves the adapters of many tasks. Symbolic dimensions stay
 * symbolic, read at run time from the shapes of the inputs that carry them.
 */
export function toOnnx(program: Program, placeOf: (name: string) => WeightPlace): OnnxModel {
  const { nodes, inputs, weights } = partsOf(program);
  const names = new Map<Value, string>();
  const written: OnnxNode[] = [];
  const initializers: OnnxTensor[] = [];
  const vectors = new Map<string, string>();
  let count = 0;

  const fresh = (hint: string) => `${hint}_${count++}`;
  const node: Emitter['node'] = (opType, input, output, attributes = {}, domain = '') =>
    void written.push({
      opType,
      domain,
      input,
      output,
      attribute: Object.entries(attributes).flatMap(([name, value]) => attribute(name, value)),
    });

  /** Equal vectors are made once. */
  const once = (key: string, make: (name: string) => void): string => {
    const known = vectors.get(key);
    if (known !== undefined) return known;
    const name = fresh('vector');
    vectors.set(key, name);
    make(name);
    return name;
  };
  const integers = (values: readonly number[], scalar = false) =>
    once(`${scalar}:${values}`, (name) => {
      const data = BigInt64Array.from(values, BigInt);
      initializers.push(initializer(name, { dtype: 'int64', shape: scalar ? [] : [values.length], data }));
    });
  const symbol = (dim: string) =>
    once(dim, (name) => {
      const carriers = inputs.flatMap((value) => value.shape.map((one, axis) => ({ value, axis, ...scaledSymbol(one) })));
      const carrier = carriers.find((one) => one.symbol === dim && one.factor === 1) ?? carriers.find((one) => one.symbol === dim);
      invariant(carrier?.factor, `dimension '${dim}' is carried by no input`);
      const whole = carrier.factor === 1 ? name : fresh('dimension');
      node('Shape', [names.get(carrier.value) as string], [whole], { start: carrier.axis, end: carrier.axis + 1 });
      if (carrier.factor !== 1) node('Div', [whole, integers([carrier.factor])], [name]);
    });
  /** An int64 vector of one element: products and sums of symbols, computed at run time. */
  const dimension = (dim: Dim): string => {
    if (typeof dim === 'number') return integers([dim]);
    if (isSymbol(dim)) return symbol(dim);
    const cut = dim.includes('+') ? '+' : '*';
    const [first, ...rest] = dim.split(cut) as [string, ...string[]];
    const toDim = (text: string): Dim => (/^-?\d+$/.test(text) ? Number(text) : text);
    return once(dim, (name) => node(cut === '+' ? 'Add' : 'Mul', [dimension(toDim(first)), dimension(toDim(rest.join(cut)))], [name]));
  };
  const shape = (dims: Shape): string =>
    dims.every((dim) => typeof dim === 'number')
      ? integers(dims as number[])
      : dims.length === 1
        ? dimension(dims[0] as Dim)
        : once(`[${dims}]`, (name) => node('Concat', dims.map(dimension), [name], { axis: 0 }));

  const emitter: Emitter = { name: (value) => names.get(value) as string, node, integers, shape, fresh };

  inputs.forEach((value, i) => void names.set(value, `input_${i}`));
  weights.forEach((value, i) => void names.set(value, `weight_${i}`));
  const outputs = new Map(Object.keys(program.outputs).map((name, i) => [name, `output_${i}`]));
  // A result goes by its output's name at once; a leaf, or a second name for one result, needs a node of its own.
  for (const [name, value] of Object.entries(program.outputs))
    if (value.node.inputs.length > 0 && !names.has(value)) names.set(value, outputs.get(name) as string);
  for (const current of nodes) {
    for (const output of current.outputs) if (!names.has(output)) names.set(output, fresh(current.op.name));
    const [output] = current.outputs as [Value];
    if (current.op.name === 'Input') continue;
    if (current.op.name === 'Weight') {
      initializers.push(placed(names.get(output) as string, output, placeOf(nameOf(output) as string)));
    } else if (current.op.name === 'Constant') {
      initializers.push(initializer(names.get(output) as string, current.attributes.value as Tensor));
    } else if (current.op.emit) {
      current.op.emit(current, emitter);
    } else {
      node(current.op.name, current.inputs.map(emitter.name), current.outputs.map(emitter.name), current.attributes, current.op.domain);
    }
  }
  const results = Object.entries(program.outputs).map(([key, value]) => {
    const name = outputs.get(key) as string;
    if (names.get(value) !== name) node('Identity', [names.get(value) as string], [name]);
    return { name, dtype: value.dtype, shape: value.shape.map(openDim) };
  });
  invariant(weights.length <= initializers.length, 'weights were lost');

  const bytes = encodeOnnx({
    irVersion: IR_VERSION,
    producerName: 'multigraft',
    opsetImport: [
      { domain: '', version: OPSET },
      { domain: 'com.microsoft', version: 1 },
    ],
    graph: {
      name: 'program',
      node: written,
      initializer: initializers,
      input: inputs.map((value) => ({ name: names.get(value) as string, dtype: value.dtype, shape: value.shape.map(openDim) })),
      output: results,
    },
  });
  return { bytes, inputs: new Map(inputs.map((value) => [nameOf(value) as string, names.get(value) as string])), outputs };
}

/** ONNX knows plain symbols only; composed dimensions stay open. */
function openDim(dim: Dim): number | string {
  return typeof dim === 'number' || isSymbol(dim) ? dim : '';
}

function placed(name: string, value: Value, place: WeightPlace): OnnxTensor {
  if ('tensor' in place) return initializer(name, place.tensor);
  return {
    name,
    dtype: value.dtype,
    dims: value.shape as number[],
    external: { location: place.location, offset: place.offset, length: place.byteLength },
  };
}

function initializer(name: string, tensor: Tensor): OnnxTensor {
  return { name, dtype: tensor.dtype, dims: tensor.shape, rawData: bytesOf(tensor) };
}

const FLOAT_ATTRIBUTES = new Set(['alpha', 'beta', 'epsilon', 'scale', 'mask_filter_value']);

function attribute(name: string, value: Attribute): OnnxAttribute[] {
  if (value === undefined) return [];
  if (name === 'to') return [{ name, type: 'int', value: ONNX_DTYPES[value as DType] }];
  if (typeof value === 'number') return [{ name, type: FLOAT_ATTRIBUTES.has(name) ? 'float' : 'int', value }];
  if (typeof value === 'boolean') return [{ name, type: 'int', value: value ? 1 : 0 }];
  if (typeof value === 'string') return [{ name, type: 'string', value }];
  invariant(Array.isArray(value), `attribute '${name}'`);
  return [{ name, type: 'ints', value: value as readonly number[] }];
}
