import { z } from 'zod';
import { fail } from '../base/errors.ts';
import { baseName, type Files, joinPath } from '../base/files.ts';
import { asFloat32, float32, type Tensor, zeros } from '../base/tensor.ts';
import { LINEARS, type LinearName } from '../encoders/index.ts';
import { type Json, pythonJson } from '../formats/json.ts';
import { LORA, loraPath, methodOfConfig } from '../methods/index.ts';
import { asName, checkName, list, type ModelFacts, shown } from './facts.ts';
import type { AdapterPackage, LoadedAdapter, LoadingOptions } from './package.ts';
import { peftHead, readPeftHead } from './peft-head.ts';
import { matchTensors, readWeights, type WeightFormat, writeWeights } from './weights.ts';

const CONFIG = 'adapter_config.json';
const WEIGHTS = { bin: 'adapter_model.bin', safetensors: 'adapter_model.safetensors' };

export function isPeftConfig(raw: { [key: string]: Json }): boolean {
  return Object.hasOwn(raw, 'peft_type');
}

export async function removePeft(files: Files, folder: string): Promise<void> {
  for (const name of Object.values(WEIGHTS)) await files.remove(joinPath(folder, name));
}

const PATTERN = z.record(z.string(), z.number().positive()).nullish();
const schema = z.looseObject({
  peft_type: z.literal('LORA'),
  r: z.number().int().positive(),
  lora_alpha: z.number().positive(),
  lora_dropout: z.number().min(0).lt(1).default(0),
  use_rslora: z.boolean().nullish(),
  alpha_pattern: PATTERN,
  rank_pattern: PATTERN,
  bias: z.literal('none').default('none'),
  // The other ways to start change the encoder's own weights.
  init_lora_weights: z.union([z.boolean(), z.enum(['gaussian', 'orthogonal', 'eva'])]).nullish(),
  base_model_name_or_path: z.string().nullish(),
  task_type: z.string().nullish(),
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

/**
 * Reads a LoRA folder of PEFT. Which linears it adapts is taken from the weights, so every way to name targets is
 * understood. What has no key in our configuration is put into the weights, exactly: lower ranks are filled with zeros,
 * other scales multiply B, linears that other layers adapt get an update of zero.
 * @throws adapter.format naming the key that cannot be expressed
 */
export async function loadPeft(
  files: Files,
  folder: string,
  raw: { [key: string]: Json },
  { encoder, as, head: withHead }: LoadingOptions,
): Promise<LoadedAdapter> {
  const path = joinPath(folder, CONFIG);
  const config = checkConfig(raw, path);
  const name = checkName(as ?? asName(baseName(folder)), `${path}: field 'name'`, 'Load it under another name.');
  const weights = await readWeights(files, folder, WEIGHTS);
  const { updates, rest } = sortKeys(weights.tensors, encoder, weights.path);
  if (updates.length === 0)
    fail({
      code: 'adapter.format',
      subject: weights.path,
      found: `no lora_A and lora_B of ${encoder.name}${rest.size ? `, but ${list([...rest.keys()], 4)}` : ''}`,
      expected: 'at least one pair',
      next: 'Load the encoder it was made for.',
    });

  const rank = Math.max(...updates.map(({ a }) => a.shape[0] as number));
  const linears = LINEARS.filter((linear) => updates.some((update) => update.linear === linear));
  const layers = new Set(updates.map(({ module }) => module));
  const leaveOut = Array.from({ length: encoder.config.groups }, (_, i) => i).filter((i) => !layers.has(i));
  const alpha = scaleOf(config, config.lora_alpha, config.r) * rank;
  const method = methodOfConfig(
    { architecture: LORA.architecture, ...targets(linears), leave_out: leaveOut, r: rank, alpha, dropout: config.lora_dropout },
    path,
  );
  const context = { encoder: encoder.config, family: encoder.family, name };

  const found = new Map<string, Tensor>();
  const notes: string[] = [];
  for (const update of updates) {
    const own = update.a.shape[0] as number;
    const factor = (scaleOf(config, ownAlpha(config, update.path), own) * rank) / alpha;
    const place = loraPath(context, update.linear, update.module);
    found.set(`${place}.lora_A`, padRows(update.a, rank));
    found.set(`${place}.lora_B`, scaled(padColumns(update.b, rank), factor));
  }
  const specs = method.method.parameters(method.config, context);
  const absent = specs.filter((spec) => !found.has(spec.name));
  for (const spec of absent) found.set(spec.name, zeros('float32', spec.shape));
  if (absent.length) notes.push(`${absent.length / 2} linears have no update of their own: theirs is zero.`);
  const matched = matchTensors(found, specs, {
    path: weights.path,
    prefix: encoder.family.prefix,
    owner: `the adapter '${name}'`,
    groups: encoder.config.groups,
  });
  const head = withHead === false ? undefined : readPeftHead(rest, config.task_type ?? undefined, encoder, name, weights.path);
  const ignored = [...rest.keys()].filter((key) => !head?.used.includes(key));
  if (ignored.length) notes.push(`Not part of the adapter '${name}', ignored: ${list(ignored)}.`);
  return {
    name,
    method,
    tensors: matched.tensors,
    model: encoder,
    layout: 'peft',
    notes: [...notes, ...matched.notes],
    ...(head && { head: head.head }),
  };
}

function checkConfig(raw: { [key: string]: Json }, path: string): PeftConfig {
  const refused = REFUSED.find((key) => {
    const value = raw[key];
    return value !== undefined && value !== null && value !== false && !(typeof value === 'object' && Object.keys(value).length === 0);
  });
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

interface Update {
  readonly module: number;
  readonly linear: LinearName;
  /** PEFT's name of the linear, to which its patterns apply. */
  readonly path: string;
  readonly a: Tensor;
  readonly b: Tensor;
}

/** Pairs of A and B by the linear they sit on, and all other tensors by their names without PEFT's prefix. */
function sortKeys(
  tensors: ReadonlyMap<string, Tensor>,
  encoder: ModelFacts,
  path: string,
): { updates: Update[]; rest: Map<string, Tensor> } {
  const { prefix } = encoder.family;
  const sites = new Map<string, { module: number; linear: LinearName }>();
  // One layer more than there is shows an adapter of a deeper encoder.
  for (let module = 0; module <= encoder.config.groups; module++)
    for (const linear of LINEARS) sites.set(encoder.family.names.linear(module, linear), { module, linear });
  const halves = new Map<string, { a?: Tensor; b?: Tensor }>();
  const rest = new Map<string, Tensor>();
  for (const [key, value] of tensors) {
    const bare = key.replace(/^base_model\.(?:model\.)?/, '');
    const [, module, half] = /^(.*)\.lora_([AB])(?:\.default)?\.weight$/.exec(bare) ?? [];
    if (module === undefined) {
      if (/\.lora_|\.base_layer\./.test(bare))
        fail({
          code: 'adapter.format',
          subject: `${path}: ${key}`,
          found: 'a part that a plain LoRA does not have',
          expected: 'lora_A.weight and lora_B.weight',
        });
      rest.set(bare, value);
      continue;
    }
    if (value.shape.length !== 2)
      fail({ code: 'adapter.format', subject: `${path}: ${key}`, found: `[${value.shape}]`, expected: 'two dimensions' });
    halves.set(module, { ...halves.get(module), [half === 'A' ? 'a' : 'b']: value });
  }
  const updates = [...halves].map(([key, { a, b }]): Update => {
    const site = sites.get(key) ?? sites.get(key.startsWith(prefix) ? key.slice(prefix.length) : '');
    const linear = key.split('.').at(-1) as string;
    if (!site)
      return fail({
        code: 'adapter.format',
        subject: `${path}: ${key}`,
        found: `an update of '${linear}'`,
        expected: `one of the six linears of a layer of ${encoder.name}`,
      });
    if (site.module >= encoder.config.groups)
      return fail({
        code: 'adapter.mismatch',
        subject: path,
        found: `an update in layer ${site.module}`,
        expected: `layers 0 to ${encoder.config.groups - 1} of ${encoder.name}`,
        next: 'Load the encoder it was made for.',
      });
    if (!a || !b)
      return fail({ code: 'adapter.format', subject: `${path}: ${key}`, found: `only lora_${a ? 'A' : 'B'}`, expected: 'both halves' });
    checkShapes(a, b, site.linear, encoder, `${path}: ${key}`);
    return { ...site, path: key, a: floats(a, key), b: floats(b, key) };
  });
  const twice = updates.find((one) => updates.some((other) => other !== one && other.module === one.module && other.linear === one.linear));
  if (twice) fail({ code: 'adapter.format', subject: `${path}: ${twice.path}`, found: 'two updates of one linear', expected: 'one' });
  return { updates, rest };
}

/** PEFT's config does not say for which sizes it is: the matrices do. */
function checkShapes(a: Tensor, b: Tensor, linear: LinearName, { name, config }: ModelFacts, subject: string): void {
  const fanIn = linear === 'output' ? config.intermediate : config.hidden;
  const out = linear === 'intermediate' ? config.intermediate : config.hidden;
  const found = `A [${a.shape}] and B [${b.shape}]`;
  if (a.shape[1] !== fanIn || b.shape[0] !== out)
    fail({
      code: 'adapter.mismatch',
      subject,
      found,
      expected: `A [r,${fanIn}] and B [${out},r], as ${name} has it`,
      next: 'Load the encoder it was made for.',
    });
  const rank = a.shape[0] as number;
  // Lower ranks elsewhere are filled up to the highest: without a bound a small file could ask for any amount of memory.
  if (rank !== b.shape[1] || rank < 1 || rank > Math.max(fanIn, out))
    fail({ code: 'adapter.format', subject, found, expected: `one rank from 1 to ${Math.max(fanIn, out)}` });
}

function floats(value: Tensor, subject: string): Tensor {
  return float32(value.shape, asFloat32(value, subject));
}

function scaleOf({ use_rslora }: PeftConfig, alpha: number, r: number): number {
  return use_rslora ? alpha / Math.sqrt(r) : alpha / r;
}

/** The first pattern that a module's name ends with. PEFT takes patterns as regular expressions; only plain names are read. */
function ownAlpha({ lora_alpha, alpha_pattern }: PeftConfig, module: string): number {
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
  const letters = Object.entries(LETTERS)
    .filter(([, linear]) => linears.includes(linear))
    .map(([letter]) => letter);
  return {
    selfattn_lora: letters.length > 0,
    attn_matrices: letters,
    intermediate_lora: linears.includes('intermediate'),
    output_lora: linears.includes('output'),
  };
}

const LETTERS: Readonly<Record<string, LinearName>> = { q: 'query', k: 'key', v: 'value', o: 'attentionOutput' };

function padRows({ shape, data }: Tensor, rank: number): Tensor {
  const fanIn = shape[1] as number;
  if (shape[0] === rank) return { dtype: 'float32', shape, data };
  const out = new Float32Array(rank * fanIn);
  out.set(data as Float32Array);
  return float32([rank, fanIn], out);
}

function padColumns({ shape, data }: Tensor, rank: number): Tensor {
  const [rows, own] = shape as [number, number];
  if (own === rank) return { dtype: 'float32', shape, data };
  const out = new Float32Array(rows * rank);
  for (let i = 0; i < rows; i++) out.set((data as Float32Array).subarray(i * own, (i + 1) * own), i * rank);
  return float32([rows, rank], out);
}

function scaled(value: Tensor, factor: number): Tensor {
  return factor === 1
    ? value
    : float32(
        value.shape,
        (value.data as Float32Array).map((x) => x * factor),
      );
}

/**
 * Writes a LoRA folder of PEFT, the config last. A head that transformers has too goes into the same file, so that
 * Python's AutoModelFor… classes find it; head_config.json beside it keeps every head for this package.
 */
export async function savePeft(files: Files, folder: string, adapter: AdapterPackage, format: WeightFormat): Promise<void> {
  const { model, tensors, name } = adapter;
  const { prefix } = model.family;
  const { r, alpha, dropout } = adapter.method.config as { r: number; alpha: number; dropout: number };
  const head = adapter.head && peftHead(adapter.head, model);
  const all = new Map<string, Tensor>();
  const modules = new Set<string>();
  for (const [key, value] of tensors) {
    const [module, half] = key.split(`.loras.${name}.`);
    if (module === undefined || (half !== 'lora_A' && half !== 'lora_B'))
      return fail({ code: 'adapter.format', subject: key, found: 'no half of a low-rank update', expected: 'lora_A or lora_B' });
    const bare = module.slice(prefix.length);
    modules.add(bare);
    all.set(`base_model.model.${head ? module : bare}.${half}.weight`, value);
  }
  for (const [key, value] of head?.tensors ?? []) all.set(`base_model.model.${key}`, value);
  await writeWeights(files, folder, WEIGHTS, format, all);
  const config = {
    alpha_pattern: {},
    auto_mapping: null,
    base_model_name_or_path: model.name,
    bias: 'none',
    exclude_modules: null,
    fan_in_fan_out: false,
    inference_mode: true,
    init_lora_weights: true,
    layers_pattern: null,
    layers_to_transform: null,
    lora_alpha: alpha,
    lora_dropout: dropout,
    modules_to_save: head?.modules ?? null,
    peft_type: 'LORA',
    r,
    rank_pattern: {},
    revision: null,
    // Whole names: 'output.dense' alone would also be the end of 'attention.output.dense'.
    target_modules: [...modules],
    task_type: head?.task ?? null,
    use_dora: false,
    use_rslora: false,
  };
  await files.write(joinPath(folder, CONFIG), pythonJson(config, { floatKeys: ['lora_dropout'] }));
}
