import type { EncoderConfig } from '../encoders/index.ts';
import { type Dim, divideDim, forEach, input, multiplyDims, reshape, type Value } from '../graph/index.ts';
import type { MixedRows } from '../methods/index.ts';
import { type ModuleBank, moduleBank } from '../nn/index.ts';
import { type Head, type HeadDrawing, type HeadInputs, headParameters } from '../objectives/index.ts';

/** Heads of one shape, as one head of a model: each of its rows has its own. */
export interface MixedHead {
  readonly head: Head;
  readonly bank: ModuleBank;
  /** What says which head each of the rows of logits has. */
  readonly context: string;
}

/** Head `index` of a model, which stands for all that differ from `one` in values and the names of outputs alone. */
export function mixedHead(one: Head, index: number, encoder: EncoderConfig, rows: Pick<MixedRows, 'leaf'>): MixedHead {
  const context = `heads.${index}.rows`;
  const bank = moduleBank(`heads.${index}`, `H${index}`, headParameters(one, encoder));
  const leafOf = (own: ReadonlyMap<Value, Value>, items: Dim) => (value: Value) => {
    const given = own.get(value);
    return given ? { value: given } : (bank.leaf(value, context, items) ?? rows.leaf(value, context, items));
  };
  const draw = (_: Head, drawing: HeadDrawing, inputs: HeadInputs): Value => {
    const given = one.kind.gathers ? oneRow(inputs) : oneSequence(drawing);
    const parameters = bank.parameters(drawing.parameters);
    const logits = one.kind.draw(one, { ...drawing, parameters, ...given.drawing }, given.inputs ?? inputs);
    const [all] = forEach([logits], given.items, leafOf(given.placeholders, given.items)) as [Value];
    const [items, each, outputs] = all.shape as [Dim, Dim, Dim];
    return reshape(all, [multiplyDims(items, each), outputs]);
  };
  return { head: { ...one, kind: { ...one.kind, parameters: () => [], draw } }, bank, context };
}

interface OneItem {
  readonly items: Dim;
  readonly placeholders: ReadonlyMap<Value, Value>;
  readonly drawing?: Partial<HeadDrawing>;
  readonly inputs?: HeadInputs;
}

/** Where a kind of head gathers its rows: one of them. Everything that it gathers from is the same for all. */
function oneRow(inputs: HeadInputs): OneItem {
  const placeholders = new Map<Value, Value>();
  return {
    items: inputs.rows,
    placeholders,
    inputs: {
      rows: 1,
      input(name, dtype, shape) {
        const placeholder = input(`one ${name}`, dtype, shape);
        const [, ...rest] = shape;
        placeholders.set(placeholder, reshape(inputs.input(name, dtype, [inputs.rows, ...rest]), [inputs.rows, ...shape]));
        return placeholder;
      },
    },
  };
}

/** One sequence of the batch: what a head reads of it. */
function oneSequence({ tokens, first, mask, pooled, vector }: HeadDrawing): OneItem {
  const batch = first.shape[0] as Dim;
  const placeholders = new Map<Value, Value>();
  const local = (value: Value): Value => {
    const [rows, ...rest] = value.shape as [Dim, ...Dim[]];
    const each = divideDim(rows, batch as string) as Dim;
    const placeholder = input('of one sequence', value.dtype, [each, ...rest]);
    placeholders.set(placeholder, reshape(value, [batch, each, ...rest]));
    return placeholder;
  };
  return {
    items: batch,
    placeholders,
    drawing: {
      tokens: local(tokens),
      first: local(first),
      mask: local(mask),
      pooled: () => local(pooled()),
      vector: (pooling) => local(vector(pooling)),
    },
  };
}
