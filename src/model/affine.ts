import { createRandom, fail, list, type Tensor } from '../base/index.ts';
import {
  drawEncoder,
  drawPooled,
  type Encoder,
  type Hooks,
  type LinearName,
  type LinearSite,
  linearPath,
  linearPlace,
  matrixPath,
  type NormSite,
} from '../encoders/index.ts';
import { input, layerNorm, nameOf, partsOf, type Value } from '../graph/index.ts';
import type { Attachment } from '../methods/index.ts';
import { noDropout, type Parameters, parameters } from '../nn/index.ts';
import { referenceEngine } from '../session/reference.ts';
import type { FileWeight, Weights } from '../session/session.ts';
import { hasPooler } from './model.ts';

/**
 * What an attachment makes of an encoder's linears and norms, as weights: y = W' x + b' where the encoder has y = W x + b. Nothing is
 * known of methods: each site is drawn by itself, and computed in double precision for x = 0 and the unit vectors. Two other x must
 * then give what W' and b' say; where they do not, as with gates, no weights stand for it.
 */
export interface AffineSite {
  /** Full name of the linear or the norm, without `.weight`; of a part of another linear that of its modules. */
  readonly path: string;
  readonly kind: 'linear' | 'norm';
  /** The linear's name ('norm' for a norm), and its module; undefined outside of the layers. */
  readonly linear: LinearName;
  readonly module: number | undefined;
  /** The matrix it lies in, without `.weight`, and from which row on. */
  readonly matrix: string;
  readonly from: number;
  /** W [out, in] or the gain [out], before and after. */
  readonly shape: readonly number[];
  readonly weight: Float64Array;
  readonly newWeight: Float64Array;
  /** [out]; undefined where it has none. */
  readonly bias: Float64Array | undefined;
  readonly newBias: Float64Array;
}

const ROWS = { batch: 'B', length: 1, first: 0 } as const;
/** How far what was computed may be from what the weights say, as part of the largest number. */
const CLOSE = 1e-6;

/**
 * The changed linears and norms, in the order of the computation. `tensors` are those of the attachment.
 * @throws method.config naming the adapter and the site where it does what no weights of the encoder can
 */
export async function* affineSites(
  encoder: Encoder,
  attachment: Attachment,
  tensors: ReadonlyMap<string, Tensor>,
  { purpose = 'merging' }: { readonly purpose?: string } = {},
): AsyncGenerator<AffineSite> {
  const refuse = (found: string): never =>
    fail({
      code: 'method.config',
      subject: `${purpose} '${attachment.text}'`,
      found,
      expected: 'an adapter that changes the weights of linears and norms and nothing else',
    });
  if (attachment.rowFeeds) refuse('a block whose children act on different rows');
  if (attachment.trainsEncoder !== false) refuse('a method that trains the encoder itself');
  const weights: Weights = new Map<string, Tensor | FileWeight>([...encoder.weights, ...tensors]);
  const resolve = parameters(() => false);
  const hooks = attachment.hooks(resolve, noDropout);
  const elsewhere = (Object.keys(hooks) as (keyof Hooks)[]).filter((site) => site !== 'linear' && site !== 'norm');
  if (elsewhere.length > 0) refuse(`what it does at ${list(elsewhere.map((site) => `'${site}'`))}, where no weights stand`);
  const { linears, norms } = sitesOf(encoder, resolve);
  const engine = referenceEngine();
  const current = new Map<string, { weight: Float64Array; bias: Float64Array | undefined }>();

  for (const site of linears) {
    const at = await linearAt(site);
    if (at) yield at;
  }
  for (const site of norms) {
    const at = await normAt(site);
    if (at) yield at;
  }

  async function linearAt(site: LinearSite): Promise<AffineSite | undefined> {
    const { family, config } = encoder;
    const [out, fanIn] = site.weight.shape as [number, number];
    const probe = { x: input('x', 'float32', ['B', fanIn]), y: input('y', 'float32', ['B', out]) };
    const path = linearPath(family, site.name, site.module);
    const drawn = { ...site, ...ROWS, ...probe };
    const result = hooks.linear?.(drawn);
    if (result === undefined || result === probe.y) return undefined;
    const matrix = matrixPath(family, site.name, site.module);
    const { partOf } = linearPlace(family, site.name);
    const from = (partOf?.parts?.indexOf(site.name) ?? 0) * out;
    if (!current.has(matrix)) current.set(matrix, await stored(matrix, (partOf ?? linearPlace(family, site.name)).bias?.(config) ?? true));
    const whole = current.get(matrix) as { weight: Float64Array; bias: Float64Array | undefined };
    const weight = whole.weight.subarray(from * fanIn, (from + out) * fanIn);
    const bias = whole.bias?.subarray(from, from + out);
    const rows = fanIn + 1 + 2;
    const x = new Float64Array(rows * fanIn);
    for (let i = 0; i < fanIn; i++) x[(i + 1) * fanIn + i] = 1;
    const random = createRandom(1);
    for (let i = (fanIn + 1) * fanIn; i < x.length; i++) x[i] = random.normal();
    const y = new Float64Array(rows * out);
    for (let row = 0; row < rows; row++)
      for (let o = 0; o < out; o++) {
        let sum = bias?.[o] ?? 0;
        if (row > 0 && row <= fanIn) sum += weight[o * fanIn + row - 1] as number;
        else if (row > fanIn) for (let i = 0; i < fanIn; i++) sum += (weight[o * fanIn + i] as number) * (x[row * fanIn + i] as number);
        y[row * out + o] = sum;
      }
    const after = await computed(path, result, { x: wide([rows, fanIn], x), y: wide([rows, out], y) });
    const newBias = after.slice(0, out);
    const newWeight = new Float64Array(out * fanIn);
    for (let o = 0; o < out; o++)
      for (let i = 0; i < fanIn; i++) newWeight[o * fanIn + i] = (after[(i + 1) * out + o] as number) - (newBias[o] as number);
    for (let row = fanIn + 1; row < rows; row++)
      checkRow(path, out, after.subarray(row * out), (o) => {
        let sum = newBias[o] as number;
        for (let i = 0; i < fanIn; i++) sum += (newWeight[o * fanIn + i] as number) * (x[row * fanIn + i] as number);
        return sum;
      });
    if (bias === undefined && newBias.some((value) => Math.abs(value) > 0)) refuse(`a bias at ${path}, which has none`);
    const before = { weight: weight.slice(), bias: bias?.slice() };
    // What comes after it in the same matrix, as a part of it, reads what it leaves.
    weight.set(newWeight);
    bias?.set(newBias);
    const { name: linear, module } = site;
    return {
      path,
      kind: 'linear',
      linear,
      module,
      matrix,
      from,
      shape: [out, fanIn],
      weight: before.weight,
      newWeight,
      bias: before.bias,
      newBias,
    };
  }

  async function normAt(site: NormSite): Promise<AffineSite | undefined> {
    const { path, gain, epsilon } = site;
    const [width] = gain.shape as [number];
    const x = input('x', 'float32', ['B', width]);
    const y = layerNorm(x, gain, site.bias, epsilon);
    const result = hooks.norm?.({ ...site, ...ROWS, x, y });
    if (result === undefined || result === y) return undefined;
    const { weight, bias } = await stored(path, encoder.weights.has(`${path}.bias`));
    const random = createRandom(2);
    const probe = Float64Array.from({ length: 3 * width }, (_, i) =>
      i < width ? (i % 2 === 0 ? 1 : -1) : i < 2 * width ? (i % 2 === width % 2 ? -1 : 1) : random.normal(),
    );
    const after = await computed(path, result, { x: wide([3, width], probe) });
    const s = standardized(probe, width, epsilon);
    const newBias = Float64Array.from({ length: width }, (_, i) => ((after[i] as number) + (after[width + i] as number)) / 2);
    const newWeight = Float64Array.from(
      { length: width },
      (_, i) => ((after[i] as number) - (after[width + i] as number)) / (2 * (s[i] as number)),
    );
    checkRow(
      path,
      width,
      after.subarray(2 * width),
      (i) => (newWeight[i] as number) * (s[2 * width + i] as number) + (newBias[i] as number),
    );
    if (bias === undefined && newBias.some((value) => Math.abs(value) > CLOSE)) refuse(`a bias at ${path}, which has none`);
    return {
      path,
      kind: 'norm',
      linear: 'norm',
      module: undefined,
      matrix: path,
      from: 0,
      shape: [width],
      weight,
      newWeight,
      bias,
      newBias,
    };
  }

  async function stored(path: string, biased: boolean) {
    const read = async (name: string) => Float64Array.from((await encoder.weights.get(name)?.read())?.data as Float32Array);
    return { weight: await read(`${path}.weight`), bias: biased ? await read(`${path}.bias`) : undefined };
  }

  async function computed(path: string, value: Value, feeds: Readonly<Record<string, Tensor>>): Promise<Float64Array> {
    if (partsOf({ outputs: { y: value } }).inputs.some((one) => !Object.hasOwn(feeds, nameOf(one) as string))) refuseMore(path);
    const session = await engine.compile({ outputs: { y: value } }, weights);
    return (await session.run(feeds)).y?.data as Float64Array;
  }

  function refuseMore(path: string): never {
    return refuse(`what it does at ${path}, which depends on more than a matrix and a bias can say: a gate`);
  }

  function checkRow(path: string, width: number, found: Float64Array, expected: (i: number) => number): void {
    let [difference, size] = [0, 0];
    for (let i = 0; i < width; i++) {
      difference = Math.max(difference, Math.abs((found[i] as number) - expected(i)));
      size = Math.max(size, Math.abs(found[i] as number));
    }
    if (!(difference <= CLOSE * size)) refuseMore(path);
  }
}

/** Every linear and norm of an encoder once, as a drawing calls hooks there; of layers that share parameters those of the first. */
export function sitesOf(encoder: Encoder, resolve: Parameters): { readonly linears: LinearSite[]; readonly norms: NormSite[] } {
  const { family, config } = encoder;
  const [linears, norms] = [new Map<string, LinearSite>(), new Map<string, NormSite>()];
  const hooks: Hooks = {
    linear(site) {
      const path = linearPath(family, site.name, site.module);
      if (!linears.has(path)) linears.set(path, site);
      return site.y;
    },
    norm(site) {
      if (!norms.has(site.path)) norms.set(site.path, site);
      return site.y;
    },
  };
  const options = { family, config, parameters: resolve, dropout: noDropout, hooks, read: 'all' } as const;
  const { first } = drawEncoder(options);
  if (hasPooler(encoder)) drawPooled(options, first);
  return { linears: [...linears.values()], norms: [...norms.values()] };
}

function wide(shape: readonly number[], data: Float64Array): Tensor {
  return { dtype: 'float64', shape, data };
}

function standardized(x: Float64Array, width: number, epsilon: number): Float64Array {
  const out = new Float64Array(x.length);
  for (let start = 0; start < x.length; start += width) {
    const row = x.subarray(start, start + width);
    const mean = row.reduce((sum, value) => sum + value, 0) / width;
    const variance = row.reduce((sum, value) => sum + (value - mean) ** 2, 0) / width;
    for (let i = 0; i < width; i++) out[start + i] = ((row[i] as number) - mean) / Math.sqrt(variance + epsilon);
  }
  return out;
}
