import { z } from 'zod';
import { createRandom, fail, type Tensor } from '../base/index.ts';
import type { LinearName } from '../encoders/index.ts';
import { matmul, mul, reshape, slice, transpose, type Value } from '../graph/index.ts';
import { type Initializer, type ParameterSpec, ZERO } from '../nn/index.ts';
import { additiveAct } from './additive.ts';
import type { MethodContext } from './context.ts';
import { actsAtLinears, atLinears, dropoutPlace, linearFields, linearShape, placedLinears } from './linears.ts';
import type { LowRank } from './low-rank.ts';
import { loraPath, type Method } from './method.ts';
import type { PeftLayout } from './peft-layout.ts';
import { peftAtLinears } from './peft-linears.ts';

const schema = z.strictObject({
  architecture: z.literal('randlora').default('randlora'),
  ...linearFields,
  linears: linearFields.linears.default(['query', 'value']),
  r: z.number().int().positive().default(32),
  randlora_alpha: z.number().positive().default(640),
  randlora_dropout: z.number().min(0).lt(1).default(0),
  sparse: z.boolean().default(false),
  very_sparse: z.boolean().default(false),
  projection_prng_key: z.number().int().nonnegative().default(0),
  init_weights: z.boolean().default(true),
});

type RandLoraConfig = z.infer<typeof schema>;

const BASES = ['randlora_A', 'randlora_B'] as const;

const LAYOUT = peftAtLinears<RandLoraConfig>({
  type: 'RANDLORA',
  parts: { randlora_lambda: 'randlora_lambda', randlora_gamma: 'randlora_gamma' },
  prefix: 'randlora_',
  keys: ['r', 'randlora_alpha', 'randlora_dropout', 'sparse', 'very_sparse', 'projection_prng_key', 'init_weights'],
  fixed: { bias: 'none', save_projection: true },
  idle: { fan_in_fan_out: false },
});

/** The bases are in a file once beside the encoder, as `randlora_A` and `randlora_B`, and once more at each linear. */
const PEFT: PeftLayout<RandLoraConfig> = {
  ...LAYOUT,
  read(folder, context) {
    const [others, bases] = [new Map(folder.tensors), new Map<string, Tensor>()];
    for (const [key, value] of folder.tensors) {
      const basis = BASES.find((name) => key === name || key.endsWith(`.${name}`));
      if (basis === undefined) continue;
      others.delete(key);
      const before = bases.get(basis) ?? value;
      if (String(before.shape) !== String(value.shape) || before.data.some((x, i) => x !== value.data[i]))
        fail({
          code: 'adapter.format',
          subject: `${folder.weights}: ${key}`,
          found: 'other numbers than elsewhere',
          expected: 'one basis for all',
        });
      bases.set(basis, before);
    }
    const reading = LAYOUT.read({ ...folder, tensors: others }, context);
    const tensors = new Map(reading.tensors);
    for (const name of BASES)
      tensors.set(
        basisName(name, context),
        bases.get(name) ??
          fail({
            code: 'adapter.format',
            subject: folder.weights,
            found: `no ${name}`,
            expected: 'the random bases, which PyTorch alone can draw again',
            next: 'Save it in Python with save_projection=True.',
          }),
      );
    return { ...reading, tensors };
  },
  write(config, tensors, context) {
    const bases = BASES.map((name) => [name, tensors.get(basisName(name, context)) as Tensor] as const);
    const names = new Set(BASES.map((name) => basisName(name, context)));
    const writing = LAYOUT.write(config, new Map([...tensors].filter(([key]) => !names.has(key))), context);
    const written = new Map(writing.tensors);
    for (const key of writing.tensors.keys())
      if (key.endsWith('.randlora_lambda')) for (const [name, value] of bases) written.set(key.replace(/randlora_lambda$/, name), value);
    return { ...writing, tensors: written, beside: new Map(bases) };
  },
};

/**
 * RandLoRA (Albert et al. 2025), as PEFT has it: a sum of random updates of low rank, each scaled in its own way,
 *
 *   y = W x + b + (α/r) · Σ_k B_k Λ_k A Γ_k drop(x)
 *
 * A [r, 1, least] and B [most, bases, r] are random, frozen, and the same at all linears of an adapter, cut to each; least and most are the
 * smaller and the larger of in and out, and as many bases of rank r are summed up as full rank takes. Λ [r, bases] starts at zero,
 * Γ [bases, least] at one over the larger of its sizes. Where out < in the product stands the other way round: Γ scales outputs. As in PEFT
 * the bases are put side by side in another order in one factor than in the other: basis by basis in A's, unit by unit in B's.
 */
export const RANDLORA: Method<RandLoraConfig> = {
  name: 'random full-rank updates',
  summary: 'a full-rank sum of frozen random updates, scaled by trained vectors, beside chosen linears',
  paper: 'Albert et al. 2025',
  architecture: 'randlora',
  schema: schema.refine(({ sparse, very_sparse }) => !(sparse && very_sparse), 'one of sparse and very_sparse'),
  presets: { randlora: {} },
  floatKeys: [],
  learningRate: 1e-3,
  mixesTokens: () => false,
  layouts: () => ['peft'],
  peft: PEFT,
  parameters: (config, context) => [
    ...basesOf(config, context),
    ...atLinears(config, context, (linear, module) => {
      const { least, bases } = sizesAt(config, context, linear);
      const path = loraPath(context, linear, module);
      const gamma: Initializer = { kind: 'constant', value: 1 / Math.max(bases, least) };
      const lambda: Initializer = config.init_weights ? ZERO : { kind: 'normal', deviation: 1 };
      return [
        { name: `${path}.randlora_lambda`, shape: [config.r, bases], init: lambda, decay: true },
        { name: `${path}.randlora_gamma`, shape: [bases, least], init: gamma, decay: true },
      ];
    }),
  ],
  acts: (config, context, read, dropout) =>
    actsAtLinears(config, context, (site) => {
      const { name, module } = site;
      const { r } = config;
      const { least, most, bases, fanIn } = sizesAt(config, context, name);
      const path = loraPath(context, name, module);
      const x = dropout(site.x, config.randlora_dropout, dropoutPlace(site, context));
      const lowRank = (): LowRank => {
        const small = slice(read(basisName('randlora_A', context)), 2, 0, least);
        const large = slice(slice(read(basisName('randlora_B', context)), 0, 0, most), 1, 0, bases);
        const lambda = reshape(read(`${path}.randlora_lambda`), [r, bases, 1]);
        const scaled = mul(mul(lambda, small), reshape(read(`${path}.randlora_gamma`), [1, bases, least]));
        const [narrow, wide] = [reshape(scaled, [r * bases, least]), reshape(large, [most, bases * r])];
        const scale = config.randlora_alpha / r;
        if (least === fanIn) return { input: x, down: narrow, up: wide, scale };
        return { input: x, down: turned(wide), up: turned(narrow), scale };
      };
      return additiveAct(site, context, lowRank, () => {
        const { down, up, scale = 1 } = lowRank();
        return matmul(x, matmul(up, down, { alpha: scale }), { transB: true });
      });
    }),
};

function basisName(basis: string, { family, name }: MethodContext): string {
  return `${family.prefix}shared_parameters.${name}.${basis}`;
}

function turned(value: Value): Value {
  return transpose(value, [1, 0]);
}

/** At one linear, of which A and B are cut to the sizes. */
function sizesAt({ r }: RandLoraConfig, context: MethodContext, linear: LinearName) {
  const { fanIn, out } = linearShape(context, linear);
  const [least, most] = [Math.min(fanIn, out), Math.max(fanIn, out)];
  return { fanIn, least, most, bases: Math.ceil(least / r) };
}

/** A and B, large enough for every linear. */
function basesOf(config: RandLoraConfig, context: MethodContext): ParameterSpec[] {
  const shapes = placedLinears(config, context).map(({ linear }) => linearShape(context, linear));
  const [fanIn, out] = [Math.max(...shapes.map((one) => one.fanIn)), Math.max(...shapes.map((one) => one.out))];
  const [least, most] = [Math.min(fanIn, out), Math.max(fanIn, out)];
  const { r } = config;
  const part = (place: 0 | 1, shape: readonly number[]): ParameterSpec => ({
    name: basisName(BASES[place], context),
    shape,
    init: {
      kind: 'derived',
      reads: [],
      make: () =>
        drawBasis(
          config,
          place,
          shape.reduce((a, b) => a * b, 1),
          least,
        ),
    },
    decay: false,
    trains: false,
  });
  return [part(0, [r, 1, least]), part(1, [most, Math.ceil(least / r), r])];
}

/** Entries of deviation one: uniform, or of the signs that `sparse` (a third) and `very_sparse` (one in √least) leave. */
function drawBasis({ sparse, very_sparse, projection_prng_key: key }: RandLoraConfig, place: number, count: number, least: number) {
  const random = createRandom(key % 2 ** 32, place);
  const share = very_sparse ? Math.sqrt(least) : sparse ? 3 : undefined;
  const draw = (): number => {
    const u = random.uniform();
    if (share === undefined) return Math.sqrt(3) * (2 * u - 1);
    return u < 0.5 / share ? -Math.sqrt(share) : u > 1 - 0.5 / share ? Math.sqrt(share) : 0;
  };
  return Float32Array.from({ length: count }, draw);
}
