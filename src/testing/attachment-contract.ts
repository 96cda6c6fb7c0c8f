import { createRandom, elementCount, fail, float32, int32, type Tensor } from '../base/index.ts';
import { collate } from '../batch/index.ts';
import { drawEncoder, type Encoder } from '../encoders/index.ts';
import { gradients, input, mul, reduceSum, reshape, type Value } from '../graph/index.ts';
import { type Attachment, trained } from '../methods/index.ts';
import { firstValues } from '../model/first-values.ts';
import { weightsOf } from '../model/model.ts';
import { noDropout, type ParameterSpec, type Parameters, parameters as resolver } from '../nn/index.ts';
import { referenceEngine } from '../session/reference.ts';
import type { Engine, Feeds } from '../session/session.ts';

/** What every method is held to, however it is attached; `checkAttachment` says which hold for one. */
export const ATTACHMENT_RULES = ['parameters', 'reads', 'output', 'company', 'pads', 'first', 'tasks', 'gradients', 'engines'] as const;
export type AttachmentRule = (typeof ATTACHMENT_RULES)[number];

/** Something attached to an encoder. Take a tiny one: everything is computed in plain TypeScript. */
export interface AttachmentCase {
  readonly name: string;
  readonly encoder: Encoder;
  readonly attachment: Attachment;
  /** How many tasks its sequences may be of, where it asks for the task: `attachment.taskIds`. */
  readonly tasks?: number;
  /** Tensors that it reads, that do not train and that are not in `attachment.start`: the adapters of a fusion. */
  readonly frozen?: readonly ParameterSpec[];
  /** Values of parameters that cannot have any: all others are random. */
  readonly values?: ReadonlyMap<string, Tensor>;
  /** Scalars and masks that its program also reads. */
  readonly feeds?: Feeds;
  /** Engines whose results in float32 are held against the reference engine's. */
  readonly engines?: readonly Engine[];
}

/** The longest sequence has 11 tokens; encoders need as many positions. */
const LENGTHS = [7, 3, 11, 5];
const SAME = 1e-9;
const SLOPE = 1e-5;
const ENGINE = 1e-5;

/**
 * Holds an attachment to the rules of all methods, with random values in everything that it adds:
 *
 *   parameters  names are its own and stand once; shapes and first values are sound; owners (`perTask`) are tasks
 *   reads       the program reads all that was declared, and nothing else
 *   output      [B·S, d], finite, and not what the bare encoder gives, unless it adds nothing
 *   company     a sequence has the same output alone as beside longer ones, of other tasks where runs may mix them
 *   pads        what stands in padded places changes nothing
 *   first       reading first tokens alone gives the same first tokens, unless it declares that it mixes tokens
 *   tasks       a sequence whose task changes has another output, and no other sequence has; what belongs to one task has
 *               no gradient from sequences of others
 *   gradients   the slope along a random direction in all parameters is that of finite differences; no parameter is without slope
 *   engines     other engines agree with the reference engine to 1e-5 of the largest value
 *
 * Where an attachment cannot be held to a rule it says so itself: 'tasks' is for those that have `taskIds`, runs of one task are
 * for those with `oneTaskRuns`, and 'first' is not for those with `mixesTokens`.
 * @returns the rules that were checked
 * @throws method.contract naming the rule, the method and what was found; graph.* for a program that cannot be
 */
export async function checkAttachment(attached: AttachmentCase): Promise<AttachmentRule[]> {
  const { attachment, engines = [] } = attached;
  const checked: AttachmentRule[] = ['parameters', 'reads', 'output', 'company', 'pads'];
  await checkParameters(attached);
  checkReads(attached);
  const values = new Map([...randomValues([...attachment.parameters, ...untrained(attached)], 5), ...(attached.values ?? [])]);
  const batch = sequences(attached);
  const whole = await encode(attached, values, batch);
  await checkOutput(attached, whole, batch);
  await checkCompany(attached, values, batch, whole);
  await checkPads(attached, values, batch, whole);
  if (!attachment.mixesTokens) {
    checked.push('first');
    const alone = await encode(attached, values, batch, { read: 'first' });
    compare(attached, 'first', 'first tokens, read alone,', alone, await encode(attached, values, batch, { part: 'first' }), SAME);
  }
  if (attachment.taskIds) {
    checked.push('tasks');
    await checkTasks(attached, values, batch, whole);
  }
  if (trained(attachment).length > 0) {
    checked.push('gradients');
    await checkSlopes(attached, values, batch);
  }
  for (const engine of engines) {
    const other = await encode(attached, values, batch, { engine });
    compare(attached, 'engines', `outputs of the ${engine.name} engine`, other, whole, ENGINE * Math.max(...numbers(whole).map(Math.abs)));
  }
  return engines.length > 0 ? [...checked, 'engines'] : checked;
}

/** A sequence of token ids, and its task. */
interface Sequence {
  readonly ids: Int32Array;
  readonly task: number;
}

/** Sequences of several lengths, of tasks in turn; of one task where runs must be. */
function sequences({ encoder, attachment, tasks = 1 }: AttachmentCase): Sequence[] {
  const random = createRandom(8);
  const { vocabulary } = encoder.config;
  return LENGTHS.map((length, i) => ({
    ids: Int32Array.from({ length }, () => Math.floor(vocabulary / 2) + random.below(Math.ceil(vocabulary / 2))),
    task: attachment.oneTaskRuns ? 0 : i % tasks,
  }));
}

async function checkParameters({ name, encoder, attachment, tasks = 1 }: AttachmentCase): Promise<void> {
  const { parameters, perTask = new Map<string, number>() } = attachment;
  const rule = 'parameters';
  const names = parameters.map((spec) => spec.name);
  const twice = names.find((one, i) => names.indexOf(one) !== i);
  if (twice !== undefined) broken(name, rule, `the parameter ${twice} twice`, 'each name once');
  const taken = names.find((one) => encoder.weights.has(one));
  if (taken !== undefined) broken(name, rule, `${taken}, which is a weight of the encoder`, 'names of its own');
  for (const { name: own, shape } of parameters)
    if (!shape.every((size) => Number.isInteger(size) && size > 0)) broken(name, rule, `${own} of shape [${shape}]`, 'sizes of 1 or more');
  for (const [own, task] of perTask)
    if (!names.includes(own) || !(task >= 0 && task < tasks))
      broken(name, rule, `${own} as the parameter of task ${task}`, `a parameter that trains, and one of ${tasks} tasks`);
  for (const [own, { data }] of await firstValues(parameters, encoder, { seed: 3 }))
    if (!(data as Float32Array).every(Number.isFinite))
      broken(name, rule, `${own} that starts with a number that is not finite`, 'numbers');
}

function checkReads(attached: AttachmentCase): void {
  const { name, encoder, attachment } = attached;
  const wanted: string[] = [];
  const record = resolver(() => false);
  draw(attached, 'all', (one, shape) => {
    wanted.push(one);
    return record(one, shape);
  });
  const unread = attachment.parameters.find((spec) => !wanted.includes(spec.name));
  if (unread) broken(name, 'reads', `${unread.name}, which is declared and never read`, 'a program that depends on all that is declared');
  const declared = new Set([...attachment.parameters, ...untrained(attached)].map((spec) => spec.name));
  const foreign = wanted.find((one) => !declared.has(one) && !encoder.weights.has(one));
  if (foreign !== undefined) broken(name, 'reads', foreign, 'its own parameters and weights of the encoder');
}

async function checkOutput(attached: AttachmentCase, whole: Tensor, batch: readonly Sequence[]): Promise<void> {
  const { name, encoder, attachment } = attached;
  const shape = [batch.length * widthOf(attached, batch), encoder.config.hidden];
  if (String(whole.shape) !== String(shape)) broken(name, 'output', `shape [${whole.shape}]`, `[${shape}]`);
  if (!numbers(whole).every(Number.isFinite)) broken(name, 'output', 'a number that is not finite', 'numbers');
  if (attachment.parameters.length === 0) return;
  const bare = await encode({ name, encoder, attachment: { ...attachment, hooks: () => ({}) } }, new Map(), batch);
  if (distance(numbers(whole), numbers(bare)) < SAME) broken(name, 'output', 'that of the encoder alone', 'parameters that change it');
}

async function checkCompany(
  attached: AttachmentCase,
  values: ReadonlyMap<string, Tensor>,
  batch: readonly Sequence[],
  whole: Tensor,
): Promise<void> {
  const { hidden } = attached.encoder.config;
  const width = widthOf(attached, batch);
  for (const [i, sequence] of batch.entries()) {
    const alone = await encode(attached, values, [sequence]);
    const count = sequence.ids.length * hidden;
    const together = numbers(whole).slice(i * width * hidden, i * width * hidden + count);
    const by = distance(together, numbers(alone));
    if (!(by <= SAME))
      broken(attached.name, 'company', `a sequence of ${sequence.ids.length} tokens that is another by ${by} beside others`, 'the same');
  }
}

async function checkPads(
  attached: AttachmentCase,
  values: ReadonlyMap<string, Tensor>,
  batch: readonly Sequence[],
  whole: Tensor,
): Promise<void> {
  const { hidden } = attached.encoder.config;
  const width = widthOf(attached, batch);
  const other = await encode(attached, values, batch, { pad: 1 });
  const real = ({ data }: Tensor) =>
    batch.flatMap(({ ids }, i) => Array.from(data.slice(i * width * hidden, (i * width + ids.length) * hidden), Number));
  const by = distance(real(whole), real(other));
  if (!(by <= SAME)) broken(attached.name, 'pads', `an output that other ids in padded places change by ${by}`, 'the same');
}

async function checkTasks(
  attached: AttachmentCase,
  values: ReadonlyMap<string, Tensor>,
  batch: readonly Sequence[],
  whole: Tensor,
): Promise<void> {
  const { name, attachment, tasks = 1 } = attached;
  const { oneTaskRuns = false, perTask = new Map<string, number>() } = attachment;
  if (tasks < 2) broken(name, 'tasks', `a case of ${tasks} tasks`, 'two or more, for what asks for the task');
  const moves = (i: number) => oneTaskRuns || i === 1;
  const moved = batch.map((sequence, i) => (moves(i) ? { ...sequence, task: (sequence.task + 1) % tasks } : sequence));
  const other = await encode(attached, values, moved);
  const each = whole.data.length / batch.length;
  for (const i of batch.keys()) {
    const by = distance(numbers(whole).slice(i * each, (i + 1) * each), numbers(other).slice(i * each));
    if (moves(i) && by <= SAME) broken(name, 'tasks', 'a sequence that has the same output as one of another task', 'another');
    if (!moves(i) && by > SAME) broken(name, 'tasks', `a sequence that changes by ${by} when another one changes its task`, 'the same');
  }
  if (perTask.size === 0) return;
  const first = batch.filter(({ task }) => task === 0);
  const { gradients: slopes } = await slopesOf(attached, values, first);
  const heard = [...perTask].find(
    ([own, task]) => task !== 0 && Array.from(slopes.get(own)?.data ?? [], Number).some((slope) => slope !== 0),
  );
  if (heard) broken(name, 'tasks', `a gradient of ${heard[0]}, of task ${heard[1]}, from sequences of task 0`, 'none');
}

async function checkSlopes(attached: AttachmentCase, values: ReadonlyMap<string, Tensor>, batch: readonly Sequence[]): Promise<void> {
  const { name, attachment } = attached;
  const { gradients: slopes, lossAt } = await slopesOf(attached, values, batch);
  const present = new Set(batch.map(({ task }) => task));
  const random = createRandom(3);
  const direction = new Map<string, Float64Array>();
  let expected = 0;
  for (const { name: own } of trained(attachment)) {
    const slope = Float64Array.from((slopes.get(own) as Tensor).data as Float64Array);
    const owner = attachment.perTask?.get(own);
    if ((owner === undefined || present.has(owner)) && slope.every((one) => one === 0))
      broken(name, 'gradients', `a gradient of ${own} that is zero`, 'one that moves it');
    const along = slope.map(() => random.normal());
    direction.set(own, along);
    expected += slope.reduce((sum, one, i) => sum + one * (along[i] as number), 0);
  }
  const step = 1e-6;
  const numeric = ((await lossAt(direction, step)) - (await lossAt(direction, -step))) / (2 * step);
  if (!(Math.abs(numeric - expected) <= SLOPE * Math.max(1, Math.abs(numeric))))
    broken(name, 'gradients', `the slope ${expected} along a random direction`, `${numeric}, by finite differences`);
}

interface Slopes {
  readonly gradients: ReadonlyMap<string, Tensor>;
  /** The loss with all parameters moved along a direction. */
  readonly lossAt: (direction: ReadonlyMap<string, Float64Array>, step: number) => Promise<number>;
}

/** Of the output at real tokens against a fixed random projection, by every parameter that trains. */
async function slopesOf(attached: AttachmentCase, values: ReadonlyMap<string, Tensor>, batch: readonly Sequence[]): Promise<Slopes> {
  const { encoder, attachment } = attached;
  const specs = trained(attachment);
  const training = new Map(specs.map(({ name }) => [name, values.get(name) as Tensor]));
  const read = resolver((name) => training.has(name));
  const { output } = draw(attached, 'all', read);
  const shape = [batch.length * widthOf(attached, batch), encoder.config.hidden];
  const projected = mul(output, input('projection', 'float32', output.shape));
  const loss = reshape(reduceSum(projected, [0, 1]), []);
  const drawn = gradients(
    loss,
    specs.map(({ name, shape: own }) => read(name, own)),
  );
  const outputs: Record<string, Value> = Object.fromEntries(specs.map(({ name }, i) => [name, drawn[i] as Value]));
  const weights = weightsOf({ encoder }, new Map([...values].filter(([name]) => !training.has(name))));
  const feeds = feedsOf(attached, batch);
  const random = randomValues([{ name: 'projection', shape }], 2).get('projection') as Tensor;
  // Where a softmax is over nothing but pads, finite differences are lost in the rounding.
  const real = (i: number) => Number(feeds.attentionMask?.data[Math.floor(i / encoder.config.hidden)]);
  const projection = float32(
    shape,
    Float32Array.from(random.data as Float32Array, (x, i) => x * real(i)),
  );
  const fixed = { ...feeds, projection };
  const engine = referenceEngine();
  const found = await (await engine.compile({ outputs }, weights)).run({ ...fixed, ...Object.fromEntries(training) });
  const forward = await engine.compile({ outputs: { loss } }, weights);
  return {
    gradients: new Map(Object.entries(found)),
    async lossAt(direction, step) {
      const moved = [...training].map(([name, { shape: own, data }]) => {
        const along = direction.get(name) as Float64Array;
        const at = Float64Array.from(data as Float32Array, (x, i) => x + step * (along[i] as number));
        return [name, { dtype: 'float64', shape: own, data: at } as Tensor] as const;
      });
      return Number((await forward.run({ ...fixed, ...Object.fromEntries(moved) })).loss?.data[0]);
    },
  };
}

function draw({ encoder, attachment }: AttachmentCase, read: 'all' | 'first', parameters: Parameters) {
  const { config, family } = encoder;
  const hooks = attachment.hooks(parameters, noDropout);
  return drawEncoder({ config, family, parameters, dropout: noDropout, hooks, read });
}

async function encode(
  attached: AttachmentCase,
  values: ReadonlyMap<string, Tensor>,
  batch: readonly Sequence[],
  {
    read = 'all',
    part = 'output',
    pad,
    engine = referenceEngine(),
  }: {
    readonly read?: 'all' | 'first';
    readonly part?: 'output' | 'first';
    readonly pad?: number;
    readonly engine?: Engine;
  } = {},
): Promise<Tensor> {
  const drawing = draw(
    attached,
    read,
    resolver(() => false),
  );
  const session = await engine.compile({ outputs: { [part]: drawing[part] } }, weightsOf({ encoder: attached.encoder }, values));
  try {
    return (await session.run(feedsOf(attached, batch, pad)))[part] as Tensor;
  } finally {
    await session.release();
  }
}

/** `pad` stands in padded places in place of the tokenizer's own. */
function feedsOf({ encoder, attachment, feeds = {} }: AttachmentCase, batch: readonly Sequence[], pad?: number): Record<string, Tensor> {
  const { padId } = encoder.config;
  const collated = collate(
    batch.map(({ ids }) => ({ inputIds: ids, tokenTypeIds: new Int32Array(ids.length) })),
    { padId },
  );
  const [ids, mask] = [collated.inputIds.data as Int32Array, collated.attentionMask.data];
  const shape = collated.inputIds.shape as [number, number];
  const placed = (of: (i: number) => number) =>
    int32(
      shape,
      Int32Array.from(ids, (_, i) => of(i)),
    );
  const tasks = batch.map(({ task }) => task);
  return {
    ...collated,
    inputIds: placed((i) => (mask[i] === 0 ? (pad ?? (ids[i] as number)) : (ids[i] as number))),
    positionIds: placed((i) => (mask[i] === 0 ? padId : padId + 1 + (i % shape[1]))),
    ...(attachment.taskIds && { taskIds: int32([tasks.length], tasks) }),
    ...feeds,
  };
}

function untrained({ attachment, frozen = [] }: AttachmentCase): readonly ParameterSpec[] {
  return [...attachment.parameters.filter((spec) => spec.trains === false), ...frozen];
}

/** Away from any neutral value. */
function randomValues(specs: readonly Pick<ParameterSpec, 'name' | 'shape'>[], seed: number): Map<string, Tensor> {
  const random = createRandom(seed);
  const draws = (count: number) => Array.from({ length: count }, () => 0.3 * random.normal());
  return new Map(specs.map(({ name, shape }) => [name, float32(shape, draws(elementCount(shape)))]));
}

/** Tokens of the padded batch. */
function widthOf(attached: AttachmentCase, batch: readonly Sequence[]): number {
  return feedsOf(attached, batch).inputIds?.shape[1] as number;
}

/** The largest difference of the elements of `a` from those of `b` at the same places. */
function distance(a: readonly number[], b: readonly number[]): number {
  return Math.max(...a.map((value, i) => Math.abs(value - (b[i] as number))));
}

function numbers({ data }: Tensor): number[] {
  return Array.from(data as Float64Array);
}

function compare({ name }: AttachmentCase, rule: AttachmentRule, what: string, found: Tensor, expected: Tensor, allowed: number): void {
  if (String(found.shape) !== String(expected.shape)) broken(name, rule, `${what} of shape [${found.shape}]`, `[${expected.shape}]`);
  const by = distance(numbers(found), numbers(expected));
  if (!(by <= allowed)) broken(name, rule, `${what} that differ by ${by}`, `at most ${allowed}`);
}

function broken(name: string, rule: AttachmentRule, found: string, expected: string): never {
  return fail({ code: 'method.contract', subject: `${name}: rule '${rule}'`, found, expected });
}
