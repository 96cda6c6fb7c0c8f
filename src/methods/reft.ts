import { z } from 'zod';
import { fail } from '../base/index.ts';
import type { LayerSite } from '../encoders/index.ts';
import {
  add,
  addDims,
  cast,
  concat,
  equal,
  expand,
  matmul,
  mul,
  multiplyDims,
  reshape,
  scalar,
  slice,
  sub,
  type Value,
} from '../graph/index.ts';
import { activation, applyLinear, isActivation, orthogonalBase, orthonormalRows, type ParameterSpec, unturned } from '../nn/index.ts';
import type { MethodContext } from './context.ts';
import { type Method, modules, type ReadParameter } from './method.ts';

const positions = z.number().int().nonnegative();

const schema = z
  .strictObject({
    architecture: z.literal('reft').default('reft'),
    layers: z.union([z.literal('all'), z.array(z.number().int().nonnegative()).min(1)]).default('all'),
    prefix_positions: positions.default(3),
    suffix_positions: positions.default(0),
    r: z.number().int().positive().default(1),
    orthogonality: z.boolean(),
    tied_weights: z.boolean().default(false),
    subtract_projection: z.boolean().default(true),
    dropout: z.number().min(0).lt(1).default(0.05),
    non_linearity: z.string().refine(isActivation, 'the name of an activation function').nullable().default(null),
    dtype: z.string().nullable().default(null),
    output_reft: z.literal(true, 'true: there is no other place').default(true),
    init_weights_seed: z.number().int().nullable().default(null),
  })
  .refine((config) => config.prefix_positions + config.suffix_positions > 0, 'prefix_positions or suffix_positions above 0');

type ReftConfig = z.infer<typeof schema>;

/**
 * Representation finetuning (Wu et al. 2024): what chosen layers give at the first `prefix_positions` and the last `suffix_positions`
 * real tokens is edited in a subspace of r dimensions; a sequence's real tokens stand together.
 *
 *   h ← drop(h + Rᵀ(f(W h + b) − R h))      LoReFT (their equation 2); R [r, d] has orthonormal rows, and is any matrix in NoReFT
 *   h ← drop(h + Rᵀ f(W h + b))             DiReFT (their equation 3), `subtract_projection` false
 *
 * First and last tokens have units of their own, unless `tied_weights`; a token that is both is one of the last.
 */
export const REFT: Method<ReftConfig> = {
  name: 'representation finetuning',
  summary: 'edits of what layers give at the first and last tokens, in a subspace of few dimensions',
  paper: 'Wu et al. 2024',
  architecture: 'reft',
  schema,
  presets: {
    loreft: { orthogonality: true },
    noreft: { orthogonality: false },
    direft: { orthogonality: false, subtract_projection: false },
  },
  floatKeys: ['dropout'],
  learningRate: 1e-3,
  mixesTokens: () => false,
  // Python averages what the rotation is made of, and the mean of that is none.
  withoutMean: ({ orthogonality }) => (orthogonality ? 'matrices whose rows are orthonormal' : undefined),
  parameters(config, context) {
    checkRank(config, context);
    return chosen(config, context).flatMap((module) => units(config).flatMap((unit) => unitParameters(config, context, module, unit)));
  },
  acts(config, context, read, dropout) {
    const adapted = chosen(config, context);
    return {
      layer(site) {
        const { module, layer } = site;
        if (!adapted.includes(module)) return undefined;
        // A unit without a token is Python's all the same, and is kept as it is.
        for (const unit of units(config).filter((one) => !isUsed(config, one)))
          for (const { name } of unitParameters(config, context, module, unit)) read(name);
        const marks = marksOf(config, site);
        return {
          apply(h) {
            const edits = marks.map(({ unit, mark }) => edit(config, unitPath(context, module, unit), h, mark, read));
            const edited = edits.reduce(add, h);
            const dropped = dropout(edited, config.dropout, `layer.${layer}.reft.${context.name}`);
            if (dropped === edited) return edited;
            return add(edited, mul(sub(dropped, edited), marks.map(({ mark }) => mark).reduce(add)));
          },
        };
      },
    };
  },
};

/** The modules of the layers that are edited. @throws method.site for one that is not there */
function chosen({ layers }: ReftConfig, { encoder }: MethodContext): number[] {
  const all = modules(encoder, []);
  if (layers === 'all') return all;
  const absent = layers.find((layer) => !all.includes(layer));
  if (absent !== undefined)
    fail({ code: 'method.site', subject: "key 'layers'", found: `${absent}`, expected: `layers from 0 to ${all.length - 1}` });
  return all.filter((module) => layers.includes(module));
}

/** @throws method.config for more dimensions than a subspace has */
function checkRank({ r, orthogonality }: ReftConfig, { encoder: { hidden } }: MethodContext): void {
  if (orthogonality && r >= hidden)
    fail({ code: 'method.config', subject: "key 'r'", found: `${r}`, expected: `less than the hidden size, ${hidden}` });
}

/** The unit of the first tokens, and that of the last where they are not one. */
const PREFIX = 0;
const SUFFIX = 1;

function units({ tied_weights: tied }: ReftConfig): number[] {
  return tied ? [PREFIX] : [PREFIX, SUFFIX];
}

function isUsed(config: ReftConfig, unit: number): boolean {
  return config.tied_weights || (unit === PREFIX ? config.prefix_positions : config.suffix_positions) > 0;
}

/** Beside the modules after sub-blocks: `….layer.0.reft_layer.refts.NAME.units.0`. */
function unitPath({ family, name }: MethodContext, module: number, unit: number): string {
  const layer = family.modulePath('output', module).replace(/\.output(?:_adapters)?\.adapters$/, '');
  return `${family.prefix}${layer}.reft_layer.refts.${name}.units.${unit}`;
}

const ORTHOGONAL = 'projection.parametrizations.weight';

function unitParameters(config: ReftConfig, context: MethodContext, module: number, unit: number): ParameterSpec[] {
  const { r, orthogonality } = config;
  const d = context.encoder.hidden;
  const path = unitPath(context, module, unit);
  const linear = { kind: 'fan-in-uniform', fanIn: d } as const;
  const kept = { trains: false } as const;
  const specs: ParameterSpec[] = [
    { name: `${path}.learned_source.weight`, shape: [r, d], init: linear, decay: true },
    { name: `${path}.learned_source.bias`, shape: [r], init: linear, decay: false },
    ...(orthogonality
      ? [
          // Decay would move its diagonal off −1, and no row of R would be left.
          { name: `${path}.${ORTHOGONAL}.original`, shape: [r, d], init: unturned(r, d), decay: false },
          { name: `${path}.${ORTHOGONAL}.0.base`, shape: [d, d], init: orthogonalBase(r, d), decay: false, ...kept },
        ]
      : [{ name: `${path}.projection.weight`, shape: [r, d], init: linear, decay: true }]),
  ];
  return isUsed(config, unit) ? specs : specs.map((spec) => ({ ...spec, ...kept }));
}

/** Rᵀ(f(W h + b) − R h) at the marked rows, and 0 elsewhere: [rows, d]. */
function edit(config: ReftConfig, path: string, h: Value, mark: Value, read: ReadParameter): Value {
  const rows = config.orthogonality
    ? orthonormalRows(read(`${path}.${ORTHOGONAL}.original`), read(`${path}.${ORTHOGONAL}.0.base`))
    : read(`${path}.projection.weight`);
  const source = applyLinear({ weight: read(`${path}.learned_source.weight`), bias: read(`${path}.learned_source.bias`) }, h);
  const wanted = activation(config.non_linearity ?? 'linear', 'method.config')(source);
  const change = config.subtract_projection ? sub(wanted, matmul(h, rows, { transB: true })) : wanted;
  return matmul(mul(change, mark), rows);
}

interface Mark {
  readonly unit: number;
  /** [rows, 1]: 1 for the tokens of the unit, 0 for others. */
  readonly mark: Value;
}

function marksOf({ prefix_positions: before, suffix_positions: after, tied_weights: tied }: ReftConfig, site: LayerSite): Mark[] {
  const { batch, length, all } = site;
  const real = reshape(cast(equal(site.mask, scalar(0)), 'float32'), [batch, all.length]);
  const suffix = after > 0 ? ends(real, after, 'last') : undefined;
  const first = before > 0 ? ends(real, before, 'first') : undefined;
  const prefix = first && suffix ? mul(first, sub(scalar(1), suffix)) : first;
  const found = [...(prefix ? [{ unit: PREFIX, mark: prefix }] : []), ...(suffix ? [{ unit: tied ? PREFIX : SUFFIX, mark: suffix }] : [])];
  const joined = tied ? [{ unit: PREFIX, mark: found.map(({ mark }) => mark).reduce(add) }] : found;
  return joined.map(({ unit, mark }) => {
    const own = length === 1 ? slice(mark, 1, all.first, all.first + 1) : mark;
    return { unit, mark: reshape(own, [multiplyDims(batch, length), 1]) };
  });
}

/** Of real tokens [batch, length], which stand together, those with none `count` places before, or behind. */
function ends(real: Value, count: number, which: 'first' | 'last'): Value {
  const [batch, length] = real.shape as [Value['shape'][number], Value['shape'][number]];
  const none = expand(scalar(0), [batch, count]);
  const other =
    which === 'first' ? slice(concat([none, real], 1), 1, 0, length) : slice(concat([real, none], 1), 1, count, addDims(length, count));
  return mul(real, sub(scalar(1), other));
}
