import { z } from 'zod';
import { fail, list, shown, type Tensor } from '../base/index.ts';
import type { MethodConfig, MethodContext } from './context.ts';
import { pathIn, placingOf } from './linears.ts';
import { loraPath } from './method.ts';
import { isSet, LINEAR_FIELDS, type PeftFolder, type PeftLayout, type PeftReading } from './peft-layout.ts';
import { pairsOf, type Update } from './peft-pairs.ts';
import { type Ranked, valueAt } from './ranks.ts';

const PATTERN = z.record(z.string(), z.number().positive()).nullish();
const schema = z.looseObject({
  r: z.number().int().positive(),
  lora_alpha: z.number().positive(),
  lora_dropout: z.number().min(0).lt(1).default(0),
  use_rslora: z.boolean().nullish(),
  alpha_pattern: PATTERN,
  rank_pattern: PATTERN,
  bias: z.literal('none').default('none'),
  init_lora_weights: z
    .union([z.boolean(), z.enum(['gaussian', 'orthogonal', 'eva'])], {
      error: 'true, false, "gaussian", "orthogonal" or "eva", for the other ways to start change the weights of the encoder',
    })
    .nullish(),
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
  'velora_config',
];

/** Fields of other ways to start, of what runs the model, and of switches that are refused. */
const IDLE = [
  'corda_config',
  'ensure_weight_tying',
  'eva_config',
  'fan_in_fan_out',
  'lora_ga_config',
  'megatron_config',
  'megatron_core',
  'qalora_group_size',
  'runtime_config',
];
const KNOWN = new Set([...Object.keys(schema.shape), ...LINEAR_FIELDS, ...IDLE]);

interface WrittenConfig extends MethodConfig, Ranked {
  readonly dropout: number;
}

/** LoRA as PEFT keeps it. Which linears it adapts is taken from the weights, so every way to name targets is understood. */
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
    return { ...configOf(settings, updates, context), rest };
  },
  write({ r, alpha, rank_pattern, alpha_pattern, use_rslora, dropout }, tensors, { family: { prefix }, name }) {
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
        alpha_pattern,
        bias: 'none',
        exclude_modules: null,
        fan_in_fan_out: false,
        init_lora_weights: true,
        layers_pattern: null,
        layers_to_transform: null,
        lora_alpha: alpha,
        lora_dropout: dropout,
        r,
        rank_pattern,
        // Whole names: 'output.dense' alone would also be the end of 'attention.output.dense'.
        target_modules: [...linears],
        use_dora: false,
        use_rslora,
      },
      tensors: written,
    };
  },
};

/** Ranks are those of the matrices; α of a file with use_rslora becomes the one that gives the same scale without. */
function configOf(settings: PeftConfig, updates: readonly Update[], context: MethodContext): Omit<PeftReading, 'rest'> {
  const ranked = updates.map(({ a, b, path, linear, module }) => {
    const rank = a.shape[0] as number;
    const alpha = valueAt(settings.alpha_pattern ?? {}, path, 'adapter.format', "field 'alpha_pattern'") ?? settings.lora_alpha;
    return {
      a,
      b,
      linear,
      module,
      path: pathIn(context, linear, module),
      rank,
      alpha: settings.use_rslora ? alpha * Math.sqrt(rank) : alpha,
    };
  });
  const [r, rank_pattern] = usual(ranked.map(({ path, rank }) => [path, rank]));
  const [alpha, alpha_pattern] = usual(ranked.map((one) => [one.path, one.alpha]));
  const tensors = ranked.flatMap(({ a, b, linear, module }) => {
    const place = loraPath(context, linear, module);
    return [
      [`${place}.lora_A`, a],
      [`${place}.lora_B`, b],
    ] as const;
  });
  const config = { ...placingOf(updates, context), r, alpha, rank_pattern, alpha_pattern, dropout: settings.lora_dropout };
  return { config, tensors: new Map(tensors), notes: [] };
}

/** The most frequent value, and the others by their paths. */
function usual(values: readonly (readonly [string, number])[]): [number, Record<string, number>] {
  const counts = new Map<number, number>();
  for (const [, value] of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  const [most] = [...counts].reduce((best, one) => (one[1] > best[1] ? one : best));
  return [most, Object.fromEntries(values.filter(([, value]) => value !== most))];
}

function checkConfig(raw: PeftFolder['raw'], path: string): PeftConfig {
  const refused = Object.keys(raw).find((key) => !KNOWN.has(key) && isSet(raw[key]));
  if (refused !== undefined)
    fail({
      code: 'adapter.format',
      subject: `${path}: field '${refused}'`,
      found: shown(raw[refused]),
      expected: REFUSED.includes(refused) ? 'a plain LoRA' : 'nothing: no such field is known',
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
