import { fail, float32, list, type Tensor } from '../base/index.ts';
import {
  attach,
  bindAdapter,
  type ConfiguredMethod,
  encoderFacts,
  type LowRankUpdate,
  loraOf,
  type MethodConfig,
} from '../methods/index.ts';
import { affineSites } from '../model/affine.ts';
import { lowRankUpdates, type ScaledUpdate } from '../model/updates.ts';
import { type Combination, type CombinationOptions, checkCombination, combined, STRATEGIES, truncated } from '../model/weighted.ts';
import { type Matrix, matrix, multiplied } from '../nn/index.ts';
import { headParameters } from '../objectives/index.ts';
import { type Attached, type AttachedHead, adapterTensors, packedHead } from './attached.ts';
import type { ModelState } from './model-state.ts';

export interface WeightsOptions {
  /** One for each, equal ones when left out; negative ones too. */
  readonly weights?: readonly number[];
  /** Whether weights are divided by their sum; true when left out. */
  readonly normalizeWeights?: boolean;
}

export interface AverageOptions extends WeightsOptions {
  /** `linear` for every method when left out; see {@link averaged}. */
  readonly combineStrategy?: (typeof STRATEGIES)[number];
  /** The rank of `lora_delta_w_svd`. */
  readonly svdRank?: number;
}

type Progress = (done: number, path: string) => void;
type Made = Required<Attached>;

/**
 * One adapter of several, Φ = Σ λᵢ Φᵢ, as `average_adapter` of `adapters`:
 *
 * - `linear`: each parameter by itself, of any method;
 * - `lora_linear_only_negate_b` (Zhang et al. 2023): A with |λ|, B with λ, so that a negative weight negates the update once;
 * - `lora_delta_w_svd`: the products Σ λᵢ sᵢ BᵢAᵢ, of which the `svdRank` largest singular values are kept, with α = `svdRank`: the
 *   update is the sum itself. Python keeps the old α, so that its update is α/`svdRank` times that of unscaled products.
 *
 * Configurations must be equal but for dropout and first values.
 * @throws adapter.missing, method.config, usage.value
 */
export async function averaged(state: ModelState, names: readonly string[], options: AverageOptions, as: string): Promise<Made> {
  const { combineStrategy: strategy = 'linear', svdRank } = options;
  if (!STRATEGIES.includes(strategy))
    fail({ code: 'usage.value', subject: 'combineStrategy', found: `'${strategy}'`, expected: `one of ${STRATEGIES.join(', ')}` });
  const bySvd = strategy === 'lora_delta_w_svd';
  if (bySvd ? !(svdRank !== undefined && Number.isInteger(svdRank) && svdRank > 0) : svdRank !== undefined)
    fail({
      code: 'usage.value',
      subject: 'svdRank',
      found: String(svdRank ?? 'nothing'),
      expected: bySvd ? 'a whole number above 0' : `none for '${strategy}'`,
    });
  const weights = checkedWeights(names, options, 'averageAdapter');
  const methods = names.map((name) => state.adapters.get(name).method);
  checkAlike(names, methods);
  const [method] = methods as [ConfiguredMethod];
  for (const member of method.method.members?.of(method.config) ?? [method]) {
    const found = member.method.withoutMean?.(member.config);
    if (found !== undefined)
      fail({ code: 'method.config', subject: `adapter '${names[0]}': ${member.text}`, found, expected: 'parameters that have a mean' });
  }
  const context = { ...encoderFacts(state.encoder), name: as };
  if (bySvd) {
    const updates = combineAt(await updatesOf(state, names), weights, (present) =>
      truncated(sumOf(present), Math.min(svdRank as number, present[0]?.down.columns ?? 1)),
    );
    return loraOf(updates, context, dropoutOf(method));
  }
  const factors = strategy === 'linear' ? undefined : await factorsOf(state, names, methods);
  const specs = bindAdapter(method, context).parameters;
  const parts = await Promise.all(names.map((name) => adapterTensors(name, state.adapters.get(name), state.encoder)));
  const own = names.map((name, i) => bindAdapter(methods[i] as ConfiguredMethod, { ...context, name }).parameters.map((spec) => spec.name));
  const tensors = specs.map(({ name: key, shape }, place) => {
    const values = parts.map((part, i) => (part.get(own[i]?.[place] as string) as Tensor).data as Float32Array);
    const positive = factors?.has(own[0]?.[place] as string) ?? false;
    return [key, float32(shape, weightedSum(values, positive ? weights.map(Math.abs) : weights))] as const;
  });
  return { method, tensors: new Map(tensors) };
}

/** One head of several of one form, Σ λᵢ Φᵢ. @throws adapter.missing, head.config for heads that differ, usage.value */
export async function averagedHead(
  state: ModelState,
  names: readonly string[],
  options: WeightsOptions,
  as: string,
): Promise<AttachedHead> {
  const weights = checkedWeights(names, options, 'averageHead');
  const heads = names.map((name) => state.heads.get(name));
  const [first] = heads as [AttachedHead];
  const form = ({ config: { dropout_prob: _, ...config } }: AttachedHead) => JSON.stringify(config);
  const other = heads.find((head) => form(head) !== form(first));
  if (other)
    fail({
      code: 'head.config',
      subject: `head '${other.name}'`,
      found: `another form, or other labels, than that of '${first.name}'`,
      expected: 'heads of one form, with the same labels in the same order',
    });
  const { encoder } = state;
  const packed = await Promise.all(heads.map((head) => packedHead(head, encoder)));
  const keys = heads.map((head) => headParameters(head, encoder.config).map((spec) => spec.name));
  const made = { ...first, name: as };
  const tensors = headParameters(made, encoder.config).map(({ name: key, shape }, place) => {
    const values = packed.map((head, i) => (head.tensors.get(keys[i]?.[place] as string) as Tensor).data as Float32Array);
    return [key, float32(shape, weightedSum(values, weights))] as const;
  });
  return { ...made, tensors: new Map(tensors) };
}

/**
 * One LoRA of several adapters that are low-rank updates, as `add_weighted_adapter` of PEFT: see {@link combined}. Where an adapter has
 * no update, the others are combined without it.
 * @throws adapter.missing, method.config, usage.value
 */
export async function weighted(
  state: ModelState,
  names: readonly string[],
  weights: readonly number[],
  { combinationType: asked = 'svd', ...options }: CombinationOptions & { readonly combinationType?: Combination },
  as: string,
): Promise<Made> {
  checkCombination(asked, options);
  const checked = checkedWeights(names, { weights, normalizeWeights: false }, 'addWeightedAdapter');
  const updates = await updatesOf(state, names);
  const ranks = [...new Set(updates.flatMap((one) => one.map(({ down }) => down.rows)))];
  if (!asked.endsWith('svd') && asked !== 'cat' && ranks.length > 1)
    fail({
      code: 'method.config',
      subject: `combinationType '${asked}'`,
      found: `adapters of ranks ${ranks.join(', ')}`,
      expected: 'one rank',
      next: "Take 'cat', or a combination by svd.",
    });
  const [method] = names.map((name) => state.adapters.get(name).method) as [ConfiguredMethod];
  const made = combineAt(updates, checked, (present, place) => combined(present, asked, options, place));
  return loraOf(made, { ...encoderFacts(state.encoder), name: as }, dropoutOf(method));
}

/**
 * The LoRA of a rank that is nearest to an adapter which changes linears alone, whatever its method: the largest singular values of each
 * change of a matrix. `kept` is their part of all, in squares: 1 where nothing is lost.
 * @throws adapter.missing; method.config for an adapter that changes biases or norms, or what no weights stand for; usage.value
 */
export async function asLora(
  state: ModelState,
  name: string,
  { rank, onProgress }: { readonly rank: number; readonly onProgress?: Progress },
  as: string,
): Promise<Made & { readonly kept: number }> {
  if (!Number.isInteger(rank) || rank < 1)
    fail({ code: 'usage.value', subject: 'rank', found: String(rank), expected: 'a whole number above 0' });
  const { encoder, adapters } = state;
  const { method } = adapters.get(name);
  const attachment = attach(method, { ...encoderFacts(encoder), name });
  const tensors = await adapterTensors(name, adapters.get(name), encoder);
  const updates: LowRankUpdate[] = [];
  let [all, kept] = [0, 0];
  for await (const site of affineSites(encoder, attachment, tensors, { purpose: 'turning into a LoRA' })) {
    const { path, kind, linear, module, shape, weight, newWeight, bias, newBias } = site;
    const size = newBias.reduce((most, x) => Math.max(most, Math.abs(x)), 1);
    if (kind === 'norm' || newBias.some((x, i) => Math.abs(x - (bias?.[i] ?? 0)) > 1e-9 * size))
      fail({
        code: 'method.config',
        subject: `adapter '${name}' (${method.text})`,
        found: `a change of ${kind === 'norm' ? 'the norm' : 'the bias of'} ${path}`,
        expected: 'changes of matrices alone: a LoRA has no biases',
        next: 'Merge it into the weights in place of that: mergeAdapter.',
      });
    const [out, fanIn] = shape as [number, number];
    const change = matrix(
      out,
      fanIn,
      newWeight.map((x, i) => x - (weight[i] as number)),
    );
    const update = truncated(change, rank);
    all += squares(change);
    kept += squares(update.up);
    updates.push({ linear, module, path, ...update });
    onProgress?.(updates.length, path);
  }
  return { ...loraOf(updates, { ...encoderFacts(encoder), name: as }), kept: all === 0 ? 1 : kept / all };
}

function squares({ data }: Matrix): number {
  return data.reduce((sum, x) => sum + x * x, 0);
}

async function updatesOf({ encoder, adapters }: ModelState, names: readonly string[]): Promise<ScaledUpdate[][]> {
  const all: ScaledUpdate[][] = [];
  for (const name of names) {
    const adapter = adapters.get(name);
    all.push(await lowRankUpdates(encoder, name, adapter.method, await adapterTensors(name, adapter, encoder)));
  }
  return all;
}

type Present = ScaledUpdate & { readonly weight: number };

/** At each linear that any of them adapts, those that do as one. */
function combineAt(
  updates: readonly (readonly ScaledUpdate[])[],
  weights: readonly number[],
  combine: (present: readonly Present[], place: number) => { readonly down: Matrix; readonly up: Matrix },
): LowRankUpdate[] {
  const places = new Map(updates.flat().map((update) => [update.path, update]));
  return [...places.values()].map(({ linear, module, path }, place) => {
    const present = updates.flatMap((one, i) =>
      one.filter((update) => update.path === path).map((update) => ({ ...update, weight: weights[i] as number })),
    );
    return { linear, module, path, ...combine(present, place) };
  });
}

/** Σ λᵢ sᵢ BᵢAᵢ. */
function sumOf(present: readonly Present[]): Matrix {
  const [first] = present as [Present];
  const sum = matrix(first.up.rows, first.down.columns);
  for (const { weight, scale, down, up } of present)
    multiplied(up, down).data.forEach((x, i) => {
      sum.data[i] = (sum.data[i] as number) + weight * scale * x;
    });
  return sum;
}

/** The names of the parameters of the first that are down-projections. @throws method.config for adapters that have others too */
async function factorsOf(state: ModelState, names: readonly string[], methods: readonly ConfiguredMethod[]): Promise<ReadonlySet<string>> {
  const [name, method] = [names[0] as string, methods[0] as ConfiguredMethod];
  const { encoder, adapters } = state;
  const updates = await lowRankUpdates(encoder, name, method, await adapterTensors(name, adapters.get(name), encoder));
  const downs = new Set(updates.flatMap(({ names: { down } }) => down ?? []));
  const ups = new Set(updates.flatMap(({ names: { up } }) => up ?? []));
  const other = bindAdapter(method, { ...encoderFacts(encoder), name }).parameters.find(
    (spec) => !downs.has(spec.name) && !ups.has(spec.name),
  );
  if (other)
    fail({
      code: 'method.config',
      subject: `adapter '${name}' (${method.text})`,
      found: `the parameter ${other.name}, which is no half of an update`,
      expected: "a LoRA for 'lora_linear_only_negate_b'",
      next: "Average it with 'linear'.",
    });
  return downs;
}

/** λ, made to add up to 1 where that is asked for. @throws usage.value */
function checkedWeights(
  names: readonly string[],
  { weights = names.map(() => 1 / names.length), normalizeWeights = true }: WeightsOptions,
  subject: string,
): number[] {
  if (names.length === 0) fail({ code: 'usage.value', subject, found: 'no names', expected: 'at least one' });
  if (weights.length !== names.length || !weights.every(Number.isFinite))
    fail({
      code: 'usage.value',
      subject: `${subject}: weights`,
      found: `[${weights.join(', ')}]`,
      expected: `${names.length} numbers, one for each of ${list(names)}`,
    });
  const sum = weights.reduce((total, weight) => total + weight, 0);
  if (normalizeWeights && Math.abs(sum) < 1e-12)
    fail({
      code: 'usage.value',
      subject: `${subject}: weights`,
      found: 'a sum of 0',
      expected: 'weights that can be made to add up to 1',
      next: 'Give normalizeWeights: false to take them as they are.',
    });
  return normalizeWeights ? weights.map((weight) => weight / sum) : [...weights];
}

/** Keys that say how training goes or where it begins, not what an adapter computes. */
const BEGINNINGS = /dropout|^init_|_init|^vera_[db]$/;

/** @throws method.config for adapters of other configurations than the first */
function checkAlike(names: readonly string[], methods: readonly ConfiguredMethod[]): void {
  const [first] = methods as [ConfiguredMethod];
  for (const [i, method] of methods.entries()) {
    if (method.method.name !== first.method.name) differ(i, `the method ${method.text}`, first.text);
    const [one, other] = [essentials(first.config), essentials(method.config)];
    const key = [...new Set([...Object.keys(one), ...Object.keys(other)])].find((name) => one[name] !== other[name]);
    if (key !== undefined) differ(i, `${key} ${other[key] ?? 'left out'}`, `${key} ${one[key] ?? 'left out'}`);
  }

  function differ(i: number, found: string, expected: string): never {
    return fail({
      code: 'method.config',
      subject: `averaging '${names[0]}' and '${names[i]}'`,
      found,
      expected: `${expected}: adapters of one configuration, but for dropout and first values`,
      next: 'LoRAs of other ranks or linears can be combined by addWeightedAdapter.',
    });
  }
}

function essentials(config: MethodConfig): Record<string, string> {
  const plain = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(plain);
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(
      Object.entries(value)
        .filter(([key]) => !BEGINNINGS.test(key))
        .map(([key, inner]) => [key, plain(inner)]),
    );
  };
  return Object.fromEntries(Object.entries(plain(config) as object).map(([key, value]) => [key, JSON.stringify(value)]));
}

function dropoutOf({ config }: ConfiguredMethod): { readonly dropout?: number } {
  return typeof config.dropout === 'number' ? { dropout: config.dropout } : {};
}

function weightedSum(values: readonly Float32Array[], weights: readonly number[]): Float32Array {
  return Float32Array.from({ length: values[0]?.length ?? 0 }, (_, i) =>
    values.reduce((sum, array, k) => sum + (weights[k] as number) * (array[i] as number), 0),
  );
}
