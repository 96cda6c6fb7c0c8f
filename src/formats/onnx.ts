import protobuf from 'protobufjs/light.js';
import { bytesPerElement, type DType, fail, invariant } from '../base/index.ts';

/** The part of onnx.proto (IR version 10) that programs here use; names as there, in camelCase. */
export interface OnnxModel {
  readonly irVersion: number;
  readonly opsetImport: readonly OnnxOperatorSet[];
  readonly producerName?: string;
  readonly producerVersion?: string;
  readonly metadataProps?: readonly OnnxProperty[];
  readonly graph: OnnxGraph;
}

export interface OnnxOperatorSet {
  /** '' is the standard set. */
  readonly domain: string;
  readonly version: number;
}

export interface OnnxProperty {
  readonly key: string;
  readonly value: string;
}

export interface OnnxGraph {
  readonly name: string;
  readonly node: readonly OnnxNode[];
  readonly initializer: readonly OnnxTensor[];
  readonly input: readonly OnnxValueInfo[];
  readonly output: readonly OnnxValueInfo[];
  readonly valueInfo?: readonly OnnxValueInfo[];
}

export interface OnnxNode {
  readonly opType: string;
  readonly domain?: string;
  readonly name?: string;
  /** '' marks an optional input or output that is left out. */
  readonly input: readonly string[];
  readonly output: readonly string[];
  readonly attribute?: readonly OnnxAttribute[];
}

export type OnnxAttribute =
  | { readonly name: string; readonly type: 'float'; readonly value: number }
  | { readonly name: string; readonly type: 'int'; readonly value: number }
  | { readonly name: string; readonly type: 'string'; readonly value: string }
  | { readonly name: string; readonly type: 'tensor'; readonly value: OnnxTensor }
  | { readonly name: string; readonly type: 'graph'; readonly value: OnnxGraph }
  | { readonly name: string; readonly type: 'floats'; readonly value: readonly number[] }
  | { readonly name: string; readonly type: 'ints'; readonly value: readonly number[] }
  | { readonly name: string; readonly type: 'strings'; readonly value: readonly string[] };

/** Values stand in the model (`rawData`, little-endian) or in a file beside it (`external`). */
export type OnnxTensor = OnnxTensorHead & ({ readonly rawData: Uint8Array } | { readonly external: OnnxExternalData });

interface OnnxTensorHead {
  readonly name: string;
  readonly dtype: DType;
  readonly dims: readonly number[];
}

export interface OnnxExternalData {
  /** Path relative to the model's folder. */
  readonly location: string;
  readonly offset: number;
  readonly length: number;
}

export interface OnnxValueInfo {
  readonly name: string;
  readonly dtype: DType;
  /** A name is a symbolic dimension; '' is an unknown one. */
  readonly shape: readonly (number | string)[];
}

/** TensorProto.DataType. */
export const ONNX_DTYPES: Readonly<Record<DType, number>> = {
  float32: 1,
  uint8: 2,
  int8: 3,
  uint16: 4,
  int16: 5,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  float64: 11,
  uint32: 12,
  uint64: 13,
  bfloat16: 16,
};

/** AttributeProto.AttributeType and the field that holds such a value. */
const ATTRIBUTE_FIELDS = {
  float: [1, 'f'],
  int: [2, 'i'],
  string: [3, 's'],
  tensor: [4, 't'],
  graph: [5, 'g'],
  floats: [6, 'floats'],
  ints: [7, 'ints'],
  strings: [8, 'strings'],
} as const;

const EXTERNAL = 1;
/** Bytes of raw data from which copying matters. */
const LARGE = 1 << 16;

const SCHEMA = protobuf.Root.fromJSON({
  nested: {
    ModelProto: {
      fields: {
        irVersion: { type: 'int64', id: 1 },
        producerName: { type: 'string', id: 2 },
        producerVersion: { type: 'string', id: 3 },
        graph: { type: 'GraphProto', id: 7 },
        opsetImport: { rule: 'repeated', type: 'OperatorSetIdProto', id: 8 },
        metadataProps: { rule: 'repeated', type: 'StringStringEntryProto', id: 14 },
      },
    },
    OperatorSetIdProto: { fields: { domain: { type: 'string', id: 1 }, version: { type: 'int64', id: 2 } } },
    StringStringEntryProto: { fields: { key: { type: 'string', id: 1 }, value: { type: 'string', id: 2 } } },
    GraphProto: {
      fields: {
        node: { rule: 'repeated', type: 'NodeProto', id: 1 },
        name: { type: 'string', id: 2 },
        initializer: { rule: 'repeated', type: 'TensorProto', id: 5 },
        input: { rule: 'repeated', type: 'ValueInfoProto', id: 11 },
        output: { rule: 'repeated', type: 'ValueInfoProto', id: 12 },
        valueInfo: { rule: 'repeated', type: 'ValueInfoProto', id: 13 },
      },
    },
    NodeProto: {
      fields: {
        input: { rule: 'repeated', type: 'string', id: 1 },
        output: { rule: 'repeated', type: 'string', id: 2 },
        name: { type: 'string', id: 3 },
        opType: { type: 'string', id: 4 },
        attribute: { rule: 'repeated', type: 'AttributeProto', id: 5 },
        domain: { type: 'string', id: 7 },
      },
    },
    AttributeProto: {
      fields: {
        name: { type: 'string', id: 1 },
        f: { type: 'float', id: 2 },
        i: { type: 'int64', id: 3 },
        s: { type: 'bytes', id: 4 },
        t: { type: 'TensorProto', id: 5 },
        g: { type: 'GraphProto', id: 6 },
        floats: { rule: 'repeated', type: 'float', id: 7 },
        ints: { rule: 'repeated', type: 'int64', id: 8 },
        strings: { rule: 'repeated', type: 'bytes', id: 9 },
        type: { type: 'int32', id: 20 },
      },
    },
    TensorProto: {
      fields: {
        dims: { rule: 'repeated', type: 'int64', id: 1 },
        dataType: { type: 'int32', id: 2 },
        name: { type: 'string', id: 8 },
        rawData: { type: 'bytes', id: 9 },
        externalData: { rule: 'repeated', type: 'StringStringEntryProto', id: 13 },
        dataLocation: { type: 'int32', id: 14 },
      },
    },
    ValueInfoProto: { fields: { name: { type: 'string', id: 1 }, type: { type: 'TypeProto', id: 2 } } },
    TypeProto: { fields: { tensorType: { type: 'TensorTypeProto', id: 1 } } },
    TensorTypeProto: { fields: { elemType: { type: 'int32', id: 1 }, shape: { type: 'TensorShapeProto', id: 2 } } },
    TensorShapeProto: { fields: { dim: { rule: 'repeated', type: 'DimensionProto', id: 1 } } },
    DimensionProto: { fields: { dimValue: { type: 'int64', id: 1 }, dimParam: { type: 'string', id: 2 } } },
  },
});

/**
 * The bytes of an ONNX file. The library's writer moves a message's bytes each time an enclosing one ends, so large
 * raw data is kept from it and copied once, straight into the result. Throws `file.too-large` from 2 GB (protobuf's limit).
 */
export function encodeOnnx(model: OnnxModel): Uint8Array {
  const large = model.graph.initializer.filter((tensor) => 'rawData' in tensor && tensor.rawData.length >= LARGE);
  const small = model.graph.initializer.filter((tensor) => !large.includes(tensor));
  const graph: Uint8Array[] = [
    SCHEMA.lookupType('GraphProto')
      .encode(graphMessage({ ...model.graph, initializer: small }))
      .finish(),
  ];
  for (const tensor of large) {
    if (!('rawData' in tensor)) continue;
    const head = SCHEMA.lookupType('TensorProto')
      .encode(tensorMessage({ ...tensor, rawData: new Uint8Array() }))
      .finish();
    graph.push(...field('GraphProto', 'initializer', [head, ...field('TensorProto', 'rawData', [tensor.rawData])]));
  }
  const { graph: _, ...rest } = model;
  const pieces = [SCHEMA.lookupType('ModelProto').encode(rest).finish(), ...field('ModelProto', 'graph', graph)];
  const bytes = new Uint8Array(lengthOf(pieces));
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}

/** A length-delimited field around `pieces`. */
function field(message: string, name: string, pieces: readonly Uint8Array[]): Uint8Array[] {
  const length = lengthOf(pieces);
  if (length >= 2 ** 31) {
    const next = 'Keep the weights as external data.';
    fail({ code: 'file.too-large', subject: `The ONNX ${name}`, found: `${length} bytes`, expected: 'less than 2 GB', next });
  }
  const id = SCHEMA.lookupType(message).fields[name]?.id as number;
  return [
    protobuf.Writer.create()
      .uint32(id * 8 + 2)
      .uint32(length)
      .finish(),
    ...pieces,
  ];
}

function lengthOf(pieces: readonly Uint8Array[]): number {
  return pieces.reduce((sum, piece) => sum + piece.length, 0);
}

function graphMessage(graph: OnnxGraph): object {
  return {
    ...graph,
    node: graph.node.map((node) => ({ ...node, attribute: (node.attribute ?? []).map(attributeMessage) })),
    initializer: graph.initializer.map(tensorMessage),
    input: graph.input.map(valueMessage),
    output: graph.output.map(valueMessage),
    valueInfo: (graph.valueInfo ?? []).map(valueMessage),
  };
}

function attributeMessage({ name, type, value }: OnnxAttribute): object {
  const [code, field] = ATTRIBUTE_FIELDS[type];
  return { name, type: code, [field]: fieldValue() };

  function fieldValue(): unknown {
    if (type === 'tensor') return tensorMessage(value);
    if (type === 'graph') return graphMessage(value);
    if (type === 'string') return new TextEncoder().encode(value);
    if (type === 'strings') return value.map((text) => new TextEncoder().encode(text));
    if (type === 'int') invariant(Number.isSafeInteger(value), `attribute ${name}: ${value} is no integer`);
    if (type === 'ints') invariant(value.every(Number.isSafeInteger), `attribute ${name}: ${value} are no integers`);
    return value;
  }
}

function tensorMessage(tensor: OnnxTensor): object {
  const head = { name: tensor.name, dims: tensor.dims, dataType: ONNX_DTYPES[tensor.dtype] };
  if ('rawData' in tensor) return { ...head, rawData: tensor.rawData };
  const externalData = Object.entries(tensor.external).map(([key, value]) => ({ key, value: String(value) }));
  return { ...head, externalData, dataLocation: EXTERNAL };
}

function valueMessage({ name, dtype, shape }: OnnxValueInfo): object {
  const dim = shape.map((size) => (typeof size === 'number' ? { dimValue: size } : size === '' ? {} : { dimParam: size }));
  return { name, type: { tensorType: { elemType: ONNX_DTYPES[dtype], shape: { dim } } } };
}

/**
 * An ONNX file as data. Throws `file.truncated`, `file.syntax` (also for parts of ONNX outside {@link OnnxModel}),
 * `file.dtype`, `file.shape`.
 */
export function decodeOnnx(bytes: Uint8Array, subject: string): OnnxModel {
  let message: Message;
  try {
    message = SCHEMA.lookupType('ModelProto').decode(bytes) as unknown as Message;
  } catch (cause) {
    const found = cause instanceof Error ? cause.message : String(cause);
    const code = cause instanceof RangeError && found.startsWith('index out of range') ? 'file.truncated' : 'file.syntax';
    return fail({ code, subject, found, expected: 'an ONNX model', next: 'The file is damaged: copy or write it again.', cause });
  }
  const reader = new Decoder(subject);
  if (message.graph === undefined || message.graph === null) return reader.syntax('no graph');
  return {
    irVersion: reader.integer(message.irVersion),
    opsetImport: reader.many(message.opsetImport, (set) => ({ domain: reader.text(set.domain), version: reader.integer(set.version) })),
    producerName: reader.text(message.producerName),
    producerVersion: reader.text(message.producerVersion),
    metadataProps: reader.many(message.metadataProps, (entry) => reader.property(entry)),
    graph: reader.graph(message.graph as Message),
  };
}

type Message = Readonly<Record<string, unknown>>;

class Decoder {
  readonly subject: string;

  constructor(subject: string) {
    this.subject = subject;
  }

  graph(message: Message): OnnxGraph {
    return {
      name: this.text(message.name),
      node: this.many(message.node, (node) => this.node(node)),
      initializer: this.many(message.initializer, (tensor) => this.tensor(tensor)),
      input: this.many(message.input, (value) => this.value(value)),
      output: this.many(message.output, (value) => this.value(value)),
      valueInfo: this.many(message.valueInfo, (value) => this.value(value)),
    };
  }

  node(message: Message): OnnxNode {
    const { input, output } = message;
    return {
      opType: this.text(message.opType),
      domain: this.text(message.domain),
      name: this.text(message.name),
      input: input as string[],
      output: output as string[],
      attribute: this.many(message.attribute, (attribute) => this.attribute(attribute)),
    };
  }

  attribute(message: Message): OnnxAttribute {
    const name = this.text(message.name);
    switch (message.type) {
      case 1:
        return { name, type: 'float', value: message.f as number };
      case 2:
        return { name, type: 'int', value: this.integer(message.i) };
      case 3:
        return { name, type: 'string', value: this.utf8(message.s) };
      case 4:
        return { name, type: 'tensor', value: this.tensor(this.present(message.t, name)) };
      case 5:
        return { name, type: 'graph', value: this.graph(this.present(message.g, name)) };
      case 6:
        return { name, type: 'floats', value: message.floats as number[] };
      case 7:
        return { name, type: 'ints', value: (message.ints as unknown[]).map((value) => this.integer(value)) };
      case 8:
        return { name, type: 'strings', value: (message.strings as unknown[]).map((value) => this.utf8(value)) };
      default:
        return this.syntax(`attribute ${name} of type ${message.type}`);
    }
  }

  tensor(message: Message): OnnxTensor {
    const name = this.text(message.name);
    const dtype = this.dtype(message.dataType, name);
    const dims = (message.dims as unknown[]).map((size) => this.integer(size));
    const head = { name, dtype, dims };
    if (dims.some((size) => size < 0))
      fail({ code: 'file.shape', subject: `${this.subject}: ${name}`, found: `[${dims}]`, expected: 'sizes from 0' });
    const expected = dims.reduce((product, size) => product * size, bytesPerElement(dtype));
    if (message.dataLocation === EXTERNAL) {
      const entries = new Map(this.many(message.externalData, (entry) => this.property(entry)).map(({ key, value }) => [key, value]));
      const location = entries.get('location') ?? this.syntax(`tensor ${name} without a location`);
      const [offset, length] = [Number(entries.get('offset') ?? 0), Number(entries.get('length') ?? 0)];
      if (![offset, length].every((n) => Number.isSafeInteger(n) && n >= 0)) this.syntax(`tensor ${name} at [${offset}, ${length}]`);
      if (length !== expected) this.wrongSize(name, length, expected, dims);
      return { ...head, external: { location, offset, length } };
    }
    const rawData = message.rawData as Uint8Array;
    if (rawData.length !== expected) this.wrongSize(name, rawData.length, expected, dims);
    return { ...head, rawData };
  }

  value(message: Message): OnnxValueInfo {
    const name = this.text(message.name);
    const type = this.present((message.type as Message | null)?.tensorType, name);
    const shape = this.present(type.shape, name);
    return {
      name,
      dtype: this.dtype(type.elemType, name),
      shape: this.many(shape.dim, (dim) => (Object.hasOwn(dim, 'dimValue') ? this.integer(dim.dimValue) : this.text(dim.dimParam))),
    };
  }

  property(message: Message): OnnxProperty {
    return { key: this.text(message.key), value: this.text(message.value) };
  }

  dtype(code: unknown, name: string): DType {
    const found = (Object.keys(ONNX_DTYPES) as DType[]).find((dtype) => ONNX_DTYPES[dtype] === code);
    return (
      found ?? fail({ code: 'file.dtype', subject: `${this.subject}: ${name}`, found: `element type ${code}`, expected: 'a number type' })
    );
  }

  many<T>(messages: unknown, read: (message: Message) => T): T[] {
    return (messages as Message[]).map(read);
  }

  present(message: unknown, name: string): Message {
    return typeof message === 'object' && message !== null ? (message as Message) : this.syntax(`nothing in ${name}`);
  }

  text(value: unknown): string {
    return typeof value === 'string' ? value : '';
  }

  utf8(value: unknown): string {
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(value as Uint8Array);
    } catch {
      return this.syntax('text that is not UTF-8');
    }
  }

  integer(value: unknown): number {
    const result = Number(value);
    return Number.isSafeInteger(result) ? result : this.syntax(`the number ${value}`);
  }

  wrongSize(name: string, found: number, expected: number, dims: readonly number[]): never {
    return fail({
      code: 'file.shape',
      subject: `${this.subject}: ${name}`,
      found: `${found} bytes`,
      expected: `${expected} for [${dims}]`,
    });
  }

  syntax(found: string): never {
    return fail({ code: 'file.syntax', subject: this.subject, found, expected: 'an ONNX model' });
  }
}
