import { bytesPerElement, fail } from '../base/index.ts';
import { type Bindings, bindShape, evaluateShape, nameOf, optimize, type Program, partsOf, type Value } from '../graph/index.ts';
import { type Engine, type Feeds, isFileWeight, type Weights } from '../session/session.ts';

/** Bytes that a training cannot do without, by what they hold. */
interface MemoryNeed {
  /** Frozen tensors: the encoder's weights, adapters that are mixed. */
  readonly weights: number;
  /** What trains, with its two moments and its gradient. */
  readonly training: number;
  /** What the largest run computes and must keep at one moment. */
  readonly activations: number;
}

interface TrainingPrograms {
  readonly programs: readonly Program[];
  readonly weights: Weights;
  /** Numbers that train. */
  readonly trained: number;
  /** What the largest run is fed: its shapes say how much is computed. */
  readonly largest: Feeds;
}

/**
 * A lower bound: what no way of running these programs can avoid. Copies that the engine makes of weights, evaluation, and
 * everything that is freed in time come on top.
 */
export function memoryNeed({ programs, weights, trained, largest }: TrainingPrograms): MemoryNeed {
  const read = new Set(programs.flatMap((program) => partsOf(program).weights.map((value) => nameOf(value) as string)));
  const bytesOf = (name: string) => {
    const weight = weights.get(name);
    if (!weight) return 0;
    return isFileWeight(weight) ? weight.byteLength : weight.data.byteLength;
  };
  return {
    weights: [...read].reduce((sum, name) => sum + bytesOf(name), 0),
    training: trained * bytesPerElement('float32') * 4,
    activations: Math.max(...programs.map((program) => keptBytes(optimize(program), largest))),
  };
}

/**
 * The most bytes of computed values that are needed later, over all moments of a run in the program's order. A value that is
 * only another view of one counts as that one. Outputs do not count: gradients are part of what {@link MemoryNeed} calls training.
 */
export function keptBytes(program: Program, feeds: Feeds): number {
  const { nodes, inputs } = partsOf(program);
  const bindings = bindingsOf(inputs, feeds);
  const outputs = new Set(Object.values(program.outputs).map(root));
  const lastUse = new Map<Value, number>();
  nodes.forEach((node, i) => {
    for (const value of node.inputs) lastUse.set(root(value), i);
  });
  const dying = new Map<number, Value[]>();
  for (const [value, i] of lastUse) dying.set(i, [...(dying.get(i) ?? []), value]);
  const sizeOf = (value: Value) =>
    computed(value) && !outputs.has(value)
      ? evaluateShape(value.shape, bindings).reduce((product, size) => product * size, bytesPerElement(value.dtype))
      : 0;
  let [held, most] = [0, 0];
  nodes.forEach((node, i) => {
    for (const value of node.outputs) if (root(value) === value && lastUse.has(value)) held += sizeOf(value);
    for (const value of dying.get(i) ?? []) held -= sizeOf(value);
    most = Math.max(most, held);
  });
  return most;
}

/** What memory a value lies in: a reshaped one in that of the original. */
function root(value: Value): Value {
  let original = value;
  while (original.node.op.name === 'Reshape') original = original.node.inputs[0] as Value;
  return original;
}

function computed({ node }: Value): boolean {
  return node.inputs.length > 0;
}

function bindingsOf(inputs: readonly Value[], feeds: Feeds): Bindings {
  const bindings = new Map<string, number>();
  for (const value of inputs) {
    const name = nameOf(value) as string;
    const fed = feeds[name];
    if (fed) bindShape(`input '${name}'`, value.shape, fed.shape, bindings);
  }
  return bindings;
}

/** Refuses what cannot fit: more than `engine.memory`, where that is known, by the lower bound of {@link memoryNeed}. @throws train.memory */
export function checkMemory({ memory }: Pick<Engine, 'memory'>, training: TrainingPrograms): void {
  if (memory === undefined) return;
  const { weights, training: trained, activations } = memoryNeed(training);
  const needed = weights + trained + activations;
  if (needed <= memory) return;
  const [rows, tokens] = (training.largest.inputIds?.shape ?? []) as [number?, number?];
  const run = rows === undefined ? 'the largest run' : `${rows} sequences of ${tokens} tokens at once`;
  fail({
    code: 'train.memory',
    subject: 'memory for this training',
    found: gigabytes(memory),
    expected: `at least ${gigabytes(needed)}: ${gigabytes(activations)} for ${run}, ${gigabytes(weights)} for frozen weights, ${gigabytes(trained)} for what trains`,
    next:
      activations > weights + trained
        ? 'Give a smaller --micro-batch or --max-length, or fuse fewer adapters.'
        : 'Train less of it, fuse fewer adapters, or take a smaller encoder.',
  });
}

function gigabytes(bytes: number): string {
  return `${(bytes / 2 ** 30).toPrecision(3)} GiB`;
}
