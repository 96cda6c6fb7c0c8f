import { z } from 'zod';
import { fail, float32, list, shown, type Tensor, zeros } from '../base/index.ts';
import { LINEARS, type LinearName, linearPlace } from '../encoders/index.ts';
import type { MethodConfig, MethodContext } from './context.ts';
import { ATTENTION_LETTERS } from './linears.ts';
import { loraPath } from './method.ts';
import { isSet, type PeftFolder, type PeftLayout, type PeftReading } from './peft-layout.ts';
import { pairsOf, type Update } from './peft-pairs.ts';

const PATTERN = z.record(z.string(), z.number().positive()).nullish();
const schema = z.looseObject({
  r: z.number().int().positive(),
  lora_alpha: z.number().positive(),
  lora_dropout: z.number().min(0).lt(1).default(0),
  use_rslora: z.boolean().nullish(),
  alpha_pattern: PATTERN,
  rank_pattern: PATTERN,
  bias: z.literal('none').default('none'),
  // The other ways to start change the encoder's own weights.
  init_lora_weights: z.union([z.boolean(), z.enum(['gaussian', 'orthogonal', 'eva'])]).nullish(),
});
type PeftConfig = z.infer<typeof schema>;

/** Switches of PEFT that change what is computed. */
const REFUSED = [
  'use_dora',
  'lora_bias',
  'use_qalora',
  'use_bdlora',
  'layer_replication',
  'trainable_token_indices',
  'target_parameters',
  'alora_invocation_tokens',
  'loftq_config',
  'arrow_config',
  'kasa_config',
  'monteclora_config',
];

interface WrittenConfig extends MethodConfig {
  readonly r: number;
  readonly alpha: number;
  readonly dropout: number;
}

/**
 * LoRA as PEFT keeps it. Which linears it adapts is taken from the weights, so every way to name targets is understood. What has
 * no key in our configuration is put into the weights, exactly: lower ranks are filled with zeros, other scales multiply B,
 * linears that other layers adapt get an update of zero.
 */
export const LORA_PEFT: PeftLayout<WrittenConfig> = {
  type: 'LORA',
  read(folder, context) {
    const settings = checkConfig(folder.raw, folder.path);
    const { updates, rest } = pairsOf(folder, context);
    if (updates.length === 0)
      fail({
        code: 'adapter.format',
        subject: folder.weights,
        found: `no lora_A and lora_B of ${folder.model}${rest.size ? `, but ${list([...rest.keys()], 4)}` : ''}`,
        expected: 'at least one pair',
        next: 'Load the encoder it was made for.',
      });
    return { ...withOneRank(settings, updates, context), rest };
  },
  write({ r, alpha, dropout }, tensors, { family: { prefix }, name }) {
    const written = new Map<string, Tensor>();
    const linears = new Set<string>();
    for (const [key, value] of tensors) {
      const [module, half] = key.split(`.loras.${name}.`);
      if (module === undefined || (half !== 'lora_A' && half !== 'lora_B'))
        return fail({ code: 'adapter.format', subject: key, found: 'no half of a low-rank update', expected: 'lora_A or lora_B' });
      linears.add(module.slice(prefix.length));
      written.set(`${module}.${half}.weight`, value);
    }
    return {
      fields: {
        alpha_pattern: {},
        bias: 'none',
        exclude_modules: null,
        fan_in_fan_out: false,
        init_lora_weights: true,
        layers_pattern: null,
        layers_to_transform: null,
        lora_alpha: alpha,
        lora_dropout: dropout,
        r,
        rank_pattern: {},
        // Whole names: 'output.dense' alone would also be the end of 'attention.output.dense'.
        target_modules: [...linears],
        use_dora: false,
        use_rslora: false,
      },
      tensors: written,
    };
  },
};

/** All updates at the highest rank of them, under our names. */
function withOneRank(settings: PeftConfig, updates: readonly Update[], context: MethodContext): Omit<PeftReading, 'rest'> {
  const { groups } = context.encoder;
  const rank = Math.max(...updates.map(({ a }) => a.shape[0] as number));
  const linears = LINEARS.filter((linear) => updates.some((update) => update.linear === linear));
  const adapted = [...new Set(updates.map(({ module }) => module))].toSorted((a, b) => a - b);
  const leaveOut = Array.from({ length: groups }, (_, module) => module).filter((module) => !adapted.includes(module));
  const alpha = scaleOf(settings, settings.lora_alpha, settings.r) * rank;
  const tensors = new Map<string, Tensor>();
  for (const { a, b, path, linear, module } of updates) {
    const updateRank = a.shape[0] as number;
    const factor = (scaleOf(settings, alphaAt(settings, path), updateRank) * rank) / alpha;
    const place = loraPath(context, linear, module);
    tensors.set(`${place}.lora_A`, padRows(a, rank));
    tensors.set(`${place}.lora_B`, scaled(padColumns(b, rank), factor));
  }
  let absent = 0;
  for (const module of adapted)
    for (const linear of linears) {
      const place = loraPath(context, linear, module);
      if (tensors.has(`${place}.lora_A`)) continue;
      const { fanIn, out } = linearPlace(context.family, linear);
      tensors.set(`${place}.lora_A`, zeros('float32', [rank, fanIn(context.encoder)]));
      tensors.set(`${place}.lora_B`, zeros('float32', [out(context.encoder), rank]));
      absent++;
    }
  return {
    config: { ...targets(linears), leave_out: leaveOut, r: rank, alpha, dropout: settings.lora_dropout },
    tensors,
    notes: absent > 0 ? [`${absent} linears have no update of their own: theirs is zero.`] : [],
  };
}

function checkConfig(raw: PeftFolder['raw'], path: string): PeftConfig {
  const refused = REFUSED.find((key) => isSet(raw[key]));
  if (refused !== undefined)
    fail({
      code: 'adapter.format',
      subject: `${path}: field '${refused}'`,
      found: shown(raw[refused]),
      expected: 'a plain LoRA',
      next: 'In Python, merge the adapter into the model and save that.',
    });
  const result = schema.safeParse(raw);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const key = String(issue?.path[0] ?? '');
  return fail({
    code: 'adapter.format',
    subject: `${path}: field '${key}'`,
    found: shown(raw[key]),
    expected: issue?.message ?? 'another value',
    next: 'Only plain LoRA adapters of PEFT can be read.',
  });
}

function scaleOf({ use_rslora }: PeftConfig, alpha: number, r: number): number {
  return use_rslora ? alpha / Math.sqrt(r) : alpha / r;
}

/** The first pattern that a module's name ends with. PEFT takes patterns as regular expressions; only plain names are read. */
function alphaAt({ lora_alpha, alpha_pattern }: PeftConfig, module: string): number {
  return Object.entries(alpha_pattern ?? {}).find(([pattern]) => `.${module}`.endsWith(`.${plainName(pattern)}`))?.[1] ?? lora_alpha;
}

function plainName(pattern: string): string {
  const name = pattern.replaceAll('\\.', '.');
  if (/^[\w.]+$/.test(name)) return name;
  return fail({
    code: 'adapter.format',
    subject: "field 'alpha_pattern'",
    found: shown(pattern),
    expected: 'names of modules, not regular expressions',
    next: 'Name each module in full.',
  });
}

function targets(linears: readonly LinearName[]): Record<string, unknown> {
  const letters = Object.entries(ATTENTION_LETTERS)
    .filter(([, linear]) => linears.includes(linear))
    .map(([letter]) => letter);
  return {
    selfattn_lora: letters.length > 0,
    attn_matrices: letters,
    intermediate_lora: linears.includes('intermediate'),
    output_lora: linears.includes('output'),
  };
}

function padRows({ shape, data }: Tensor, rank: number): Tensor {
  const fanIn = shape[1] as number;
  if (shape[0] === rank) return { dtype: 'float32', shape, data };
  const out = new Float32Array(rank * fanIn);
  out.set(data as Float32Array);
  return float32([rank, fanIn], out);
}

function padColumns({ shape, data }: Tensor, rank: number): Tensor {
  const [rows, columns] = shape as [number, number];
  if (columns === rank) return { dtype: 'float32', shape, data };
  const out = new Float32Array(rows * rank);
  for (let i = 0; i < rows; i++) out.set((data as Float32Array).subarray(i * columns, (i + 1) * columns), i * rank);
  return float32([rows, rank], out);
}

function scaled(value: Tensor, factor: number): Tensor {
  if (factor === 1) return value;
  return float32(
    value.shape,
    (value.data as Float32Array).map((x) => x * factor),
  );
}
