import { z } from 'zod';
import { fail } from '../base/index.ts';
import { add, constant, type Dim, expand, gather, matmul, mul, reshape, scalar, sub, transpose, type Value } from '../graph/index.ts';
import { applyLinear, ZERO } from '../nn/index.ts';
import { identity, refuseBefore } from './additive.ts';
import { actsAtLinears, atLinears, linearFields, linearShape } from './linears.ts';
import { inverse } from './matrix-inverse.ts';
import { loraPath, type Method } from './method.ts';
import { isSet, type PeftLayout } from './peft-layout.ts';
import { peftAtLinears } from './peft-linears.ts';

const fields = z.strictObject({
  architecture: z.literal('oft').default('oft'),
  ...linearFields,
  linears: linearFields.linears.default(['query', 'value']),
  r: z.number().int().nonnegative().default(0),
  oft_block_size: z.number().int().nonnegative().default(32),
  block_share: z.boolean().default(false),
  use_cayley_neumann: z.boolean().default(true),
  num_cayley_neumann_terms: z.number().int().min(2).default(5),
  init_weights: z.boolean().default(true),
});

type OftConfig = z.infer<typeof fields>;

const LAYOUT = peftAtLinears<OftConfig>({
  type: 'OFT',
  parts: { 'oft_R.weight': 'oft_R.weight' },
  prefix: 'oft_',
  keys: ['r', 'oft_block_size', 'block_share', 'use_cayley_neumann', 'num_cayley_neumann_terms', 'init_weights'],
  fixed: { bias: 'none', coft: false },
  // PEFT 0.19 keeps module_dropout and never applies it.
  idle: { eps: 6e-5, fan_in_fan_out: false, module_dropout: 0 },
});

/** Since 0.14 a file holds the halves of skew-symmetric matrices; since 0.18 the powers are summed up as here. */
const PEFT: PeftLayout<OftConfig> = {
  ...LAYOUT,
  read(folder, context) {
    const { oft_block_size: size, use_cayley_neumann: powers, peft_version: version } = folder.raw;
    if (size === undefined)
      fail({
        code: 'adapter.format',
        subject: `${folder.path}: field 'oft_block_size'`,
        found: 'none: PEFT before 0.14 wrote other matrices',
        expected: 'PEFT of today',
        next: 'Train it again.',
      });
    const reading = LAYOUT.read(folder, context);
    const old = isSet(powers) && !/^(0\.(1[89]|[2-9]\d)|[1-9])/.test(typeof version === 'string' ? version : '');
    const note = 'Written by a PEFT before 0.18, which summed up the powers of its rotations in another way: read as PEFT reads it today.';
    return old ? { ...reading, notes: [...reading.notes, note] } : reading;
  },
  write(config, tensors, context) {
    const { fields: own, ...writing } = LAYOUT.write(config, tensors, context);
    return { ...writing, fields: { ...own, peft_version: '0.18.0' } };
  },
};

/**
 * OFT (Qiu et al. 2023), as PEFT has it: the input of a linear is turned, block by block, before the frozen matrix reads it,
 *
 *   y = W (R x) + b,    R = diag(R₁, …, R_r), R_i = (I − Q_i)(I + Q_i)⁻¹ turned to rows: x_i R_i
 *
 * Q_i is skew-symmetric; what trains are its entries above the diagonal, [r, n(n − 1)/2] for blocks of n, or [1, …] where all blocks
 * share one. With `use_cayley_neumann` R_i is the sum I + 2Q + 2Q² + … + 2Qᵏ⁻² + Qᵏ⁻¹ of k = `num_cayley_neumann_terms` (Qiu et al. 2025),
 * which is orthogonal only for small Q. Nothing may stand before it at a linear.
 */
export const OFT: Method<OftConfig> = {
  name: 'orthogonal finetuning',
  summary: 'rotations of what chosen linears read, in blocks',
  paper: 'Qiu et al. 2023',
  architecture: 'oft',
  schema: fields.refine(
    ({ r, oft_block_size }) => (r === 0) !== (oft_block_size === 0),
    'one of r and oft_block_size, and 0 for the other',
  ),
  presets: { oft: {} },
  floatKeys: [],
  learningRate: 1e-3,
  mixesTokens: () => false,
  layouts: () => ['peft'],
  peft: PEFT,
  parameters: (config, context) =>
    atLinears(config, context, (linear, module) => {
      const { blocks, size } = blocksOf(config, linearShape(context, linear).fanIn);
      const shape = [config.block_share ? 1 : blocks, (size * (size - 1)) / 2];
      const init = config.init_weights ? ZERO : ({ kind: 'normal', deviation: 0.1 } as const);
      return [{ name: `${loraPath(context, linear, module)}.oft_R.weight`, shape, init, decay: true }];
    }),
  acts: (config, context, read) =>
    actsAtLinears(config, context, (site) => {
      const { y, name, module } = site;
      const { size } = blocksOf(config, linearShape(context, name).fanIn);
      const turned = (): Value => {
        const halves = read(`${loraPath(context, name, module)}.oft_R.weight`);
        return applyLinear(site, turn(site.x, rotations(config, halves, size), size));
      };
      let alone: { readonly output: Value; readonly update: Value } | undefined;
      return {
        apply(state) {
          if (state) refuseBefore(context, `at '${name}'`);
          const output = turned();
          alone = { output, update: sub(output, y) };
          return alone.update;
        },
        // Of one adapter the frozen product W x is not needed.
        close: (update) => (update && update === alone?.update ? alone.output : update ? add(y, update) : y),
      };
    }),
};

/** Rows of x [rows, in] times R [blocks or 1, n, n], block by block. */
function turn(x: Value, rotation: Value, size: number): Value {
  const [rows, width] = x.shape as [Dim, number];
  const blocks = width / size;
  const apart = transpose(reshape(x, [rows, blocks, size]), [1, 0, 2]);
  return reshape(transpose(matmul(apart, rotation), [1, 0, 2]), [rows, width]);
}

/** R [blocks, n, n] of the entries above the diagonal [blocks, n(n − 1)/2]. */
function rotations({ use_cayley_neumann, num_cayley_neumann_terms: terms }: OftConfig, halves: Value, size: number): Value {
  const q = skewSymmetric(halves, size);
  const one = expand(reshape(identity(size), [1, size, size]), q.shape);
  const twice = (value: Value) => mul(value, scalar(2));
  if (!use_cayley_neumann) return sub(twice(inverse(add(one, q))), one);
  let sum = add(one, twice(q));
  if (terms === 2) return sum;
  let power = matmul(q, q);
  sum = add(sum, twice(power));
  for (let exponent = 3; exponent < terms - 1; exponent++) {
    power = matmul(power, q);
    sum = add(sum, twice(power));
  }
  return add(sum, matmul(power, q));
}

/** [blocks, n(n − 1)/2], row by row of the triangle → [blocks, n, n] with Qᵀ = −Q. */
function skewSymmetric(halves: Value, size: number): Value {
  const [blocks] = halves.shape as [number];
  const places = new Int32Array(size * size);
  const signs = new Float32Array(size * size);
  let next = 0;
  for (let i = 0; i < size; i++)
    for (let j = i + 1; j < size; j++, next++) {
      for (const [place, sign] of [[i * size + j, 1] as const, [j * size + i, -1] as const]) {
        places[place] = next;
        signs[place] = sign;
      }
    }
  const entries = gather(transpose(halves, [1, 0]), constant({ dtype: 'int32', shape: [size * size], data: places }));
  const signed = mul(entries, constant({ dtype: 'float32', shape: [size * size, 1], data: signs }));
  return reshape(transpose(signed, [1, 0]), [blocks, size, size]);
}

/** How an input is cut. What does not divide it is moved to the nearest number that does, the smaller one of two, as in PEFT. */
function blocksOf({ r, oft_block_size: size }: Pick<OftConfig, 'r' | 'oft_block_size'>, width: number) {
  const found = divisorNear(r || size, width);
  const cut = r > 0 ? { blocks: found, size: width / found } : { blocks: width / found, size: found };
  if (cut.size === 1)
    fail({
      code: 'method.config',
      subject: 'oft_block_size',
      found: `blocks of one number of ${width}`,
      expected: 'blocks of two or more',
    });
  return cut;
}

function divisorNear(wanted: number, width: number): number {
  if (wanted >= width) return width;
  const divides = (n: number) => width % n === 0;
  let [lower, higher] = [wanted, wanted];
  while (!divides(lower)) lower--;
  while (!divides(higher)) higher++;
  return wanted - lower <= higher - wanted ? lower : higher;
}
