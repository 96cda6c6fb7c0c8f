import { describe, expect, it, test } from 'vitest';
import { float32, int32, type Tensor } from '../../src/base/tensor.ts';
import { type Encoder, loadEncoder } from '../../src/encoders/index.ts';
import { gradients, type Value } from '../../src/graph/index.ts';
import {
  attachComposition,
  type Composition,
  type ConfiguredMethod,
  configureMethod,
  type Fuse,
  fuse,
  fusionConfig,
  type Stack,
  stack,
} from '../../src/methods/index.ts';
import { drawModel } from '../../src/model/draw.ts';
import { drawLoss } from '../../src/model/loss.ts';
import { type Model, scheduledFeeds, trainableParameters, weightsOf } from '../../src/model/model.ts';
import { noDropout } from '../../src/nn/index.ts';
import { createHead, type Head } from '../../src/objectives/index.ts';
import { nodeEngine } from '../../src/session/node.ts';
import { referenceEngine } from '../../src/session/reference.ts';
import type { Engine } from '../../src/session/session.ts';
import { createTrainingStep } from '../../src/train/step.ts';
import { ADAMW, ParameterStore } from '../../src/update/index.ts';
import { goldenFiles } from './files.ts';
import { feedsOf, relativeError } from './forward.ts';
import { type Digest, digest, draw, type FusionCase, type FusionEntry, fusionCases, fusionTrajectories } from './fusion.ts';

const golden = fusionCases();
const CASES = Object.entries(golden.cases);

/** ONNX Runtime takes its time to compile: one case for each kind of drawing. */
const REPEATED = [
  ...['dynamic', 'residual_before', 'temperature', 'three-factors', 'activations', 'ln_before', 'scaling-mixed', 'double_seq_bn-mixed'],
  ...['par_bn-residual_before', 'nested-double_seq_bn', 'stack-on-fusion', 'leave_out-nested', 'albert-groups'],
];

test('there are 63 cases over all families', () => {
  expect(CASES).toHaveLength(63);
  expect(REPEATED.every((name) => Object.hasOwn(golden.cases, name))).toBe(true);
  expect(new Set(CASES.map(([, { encoder }]) => encoder)).size).toBe(7);
});

describe.each(CASES)('%s', (name, one) => {
  it.each(REPEATED.includes(name) ? ['reference', 'node'] : ['reference'])(
    'gives logits, attentions and gradients of Python: %s',
    async (which) => {
      const model = await modelOf(one);
      const engine = which === 'node' ? await nodeEngine({ threads: 1 }) : referenceEngine();
      // The numbers are those of float64; the worst that float32 does in Python is beside them.
      const tolerance = which === 'node' ? Math.max(1e-5, 3 * one.float32AgainstFloat64) : 1e-7;
      const { logits, loss, attentions, slopes } = await run(engine, model, one);
      expect(relativeError(logits, one.logits.flat())).toBeLessThan(tolerance);
      expect(Math.abs(Number(loss.data[0]) / one.loss - 1)).toBeLessThan(tolerance);
      expect(attentions.size).toBe(one.attentions.length);
      for (const { layer, site, values } of one.attentions) {
        const place = site === 'mh_adapter' ? 'attention' : 'output';
        expect(relativeError(attentions.get(`${one.fusion}/${layer}.${place}`), values), `${layer} ${site}`).toBeLessThan(tolerance);
      }
      const expected = Object.entries(one.gradients).filter(([key]) => slopes.has(key));
      expect(expected.length).toBeGreaterThanOrEqual(name === 'no-query-no-key-no-value' ? 0 : 3);
      for (const [key, want] of expected) expectDigest(digest(golden, key, slopes.get(key) as Tensor), want, key, 10 * tolerance);
    },
  );
});

test('what Python cannot run is refused, or does what one would expect', async () => {
  const outcome = async ({ setup, adapters }: { setup: string; adapters: Record<string, string> }) => {
    const composition = parse(setup);
    try {
      await modelOf({ encoder: 'bert', adapters, fusions: [{ name: fuseName(composition), adapterNames: [], config: {} }], setup });
      return 'drawn';
    } catch (error) {
      return (error as { code: string }).code;
    }
  };
  const outcomes = await Promise.all(
    Object.entries(golden.refused).map(async ([name, one]) => [name, await outcome(one as never)] as const),
  );
  expect(Object.fromEntries(outcomes)).toEqual({
    'last adapter left out of a layer where another is': 'drawn',
    'nested stack without any adapter in a layer': 'drawn',
    'adapters at different sites': 'method.config',
    'low-rank adapters': 'drawn',
    'an adapter that is missing': 'adapter.missing',
  });
});

const trajectories = fusionTrajectories();

describe.each(Object.entries(trajectories.variants))('six steps of AdamW: %s', (_, golden) => {
  it.each([1, 2])('as in Python, in %s parts', async (parts) => {
    const model = await modelOf(golden as never, trajectories);
    const store = new ParameterStore(trainableParameters(model));
    for (const { name, shape } of store.specs) store.set(name, draw(trajectories, name, shape).data as Float32Array);
    const { optimiser, labels } = trajectories;
    const step = await createTrainingStep(await nodeEngine({ threads: 1 }), model, store, {
      adamw: { ...ADAMW, clip: optimiser.clip, weightDecay: optimiser.weightDecay },
      seed: 1,
    });
    const rows = labels.length / parts;
    const batches = Array.from({ length: parts }, (_, part) => {
      const cut = <T>(all: readonly T[]) => all.slice(part * rows, (part + 1) * rows);
      const batch = {
        inputIds: cut(trajectories.inputIds),
        attentionMask: cut(trajectories.attentionMask),
        ...(trajectories.tokenTypeIds && { tokenTypeIds: cut(trajectories.tokenTypeIds) }),
      };
      return {
        ...feedsOf(batch, model.encoder),
        labels: int32([rows], cut(labels)),
        lossWeights: float32([rows], new Float32Array(rows).fill(1 / labels.length)),
      };
    });
    for (let t = 1; t <= optimiser.steps; t++) {
      const { loss, gradientNorm, regularizer } = await step.run(batches, optimiser.learningRate, t);
      expect(Math.abs(loss / (golden.losses[t - 1] as number) - 1), `loss ${t}`).toBeLessThan(1e-4);
      expect(Math.abs(gradientNorm / (golden.gradientNorms[t - 1] as number) - 1), `norm ${t}`).toBeLessThan(1e-4);
      if (golden.regularised) expect(Math.abs((regularizer as number) / (golden.regularisers[t - 1] as number) - 1)).toBeLessThan(1e-4);
      else expect(regularizer).toBeUndefined();
    }
    const final = Object.entries(golden.final).filter(([name]) => !golden.vanishingGradient.includes(name));
    expect(final.length).toBeGreaterThan(5);
    for (const [name, want] of final) expectDigest(digest(trajectories, name, store.get(name)), want, name, 1e-4);
    await step.release();
  });
});

/** Runs forward and backward; batch and labels are the golden ones. */
async function run(engine: Engine, model: Model, { encoder, adapterGradients }: FusionCase) {
  const specs = trainableParameters(model);
  const trained = new Set(specs.map((spec) => spec.name));
  const frozen = new Map(model.frozen);
  const drawing = drawModel(model, noDropout, (name) => trained.has(name) || (adapterGradients === true && frozen.has(name)), {
    read: 'all',
  });
  const { loss } = drawLoss(model, drawing.logits);
  const names = [...drawing.trainable.keys()];
  const slopes = gradients(loss, [...drawing.trainable.values()]);
  const outputs: Record<string, Value> = { logits: drawing.logits[0] as Value, loss };
  names.forEach((name, i) => {
    outputs[`gradient/${name}`] = slopes[i] as Value;
  });
  for (const [name, { value }] of drawing.observed) outputs[`attention/${name}`] = value;
  const session = await engine.compile({ outputs }, weightsOf(model));
  const { labels } = golden;
  const results = await session.run({
    ...feedsOf(golden.batches[encoder] as never, model.encoder),
    ...scheduledFeeds(model, 0),
    labels: int32([labels.length], labels),
    lossWeights: float32([labels.length], new Float32Array(labels.length).fill(1 / labels.length)),
    ...Object.fromEntries([...drawing.trainable].map(([name, { shape }]) => [name, draw(golden, name, shape as number[])])),
  });
  await session.release();
  const under = (prefix: string) =>
    new Map(
      Object.entries(results).flatMap(([key, value]) => (key.startsWith(prefix) ? [[key.slice(prefix.length), value] as const] : [])),
    );
  return {
    logits: results.logits as Tensor,
    loss: results.loss as Tensor,
    attentions: under('attention/'),
    slopes: under('gradient/'),
  };
}

type Described = Pick<FusionCase, 'encoder' | 'setup'> & {
  readonly adapters: Readonly<Record<string, string>>;
  readonly fusions: readonly FusionEntry[];
};

async function modelOf(
  { encoder: name, adapters, fusions, setup, ...rest }: Described,
  filled: Parameters<typeof draw>[0] = golden,
): Promise<Model> {
  const regularised = (rest as { regularised?: boolean }).regularised;
  const encoder = await encoderOf(name);
  const facts = { encoder: encoder.config, family: encoder.family };
  const methods = new Map<string, ConfiguredMethod>(Object.entries(adapters).map(([key, text]) => [key, configureMethod(text)]));
  const configs = new Map(
    fusions.map((one) => [one.name, fusionConfig({ ...one.config, ...(regularised !== undefined && { regularization: regularised }) })]),
  );
  const named = (rest as { fusion?: string }).fusion;
  const attachment = attachComposition(parse(setup, named), { adapters: methods, fusions: configs }, facts);
  const specs = [...methods].flatMap(([key, { method, config }]) => method.parameters(config, { ...facts, name: key }));
  const head: Head = createHead(
    'golden',
    { head_type: 'classification', num_labels: filled === golden ? 3 : 2, layers: filled === golden ? 1 : 2, dropout_prob: 0 },
    'head',
  );
  return { encoder, attachment, heads: [head], frozen: new Map(specs.map(({ name: key, shape }) => [key, draw(filled, key, shape)])) };
}

const encoders = new Map<string, Promise<Encoder>>();
function encoderOf(name: string): Promise<Encoder> {
  const known = encoders.get(name) ?? loadEncoder(goldenFiles, `test/golden/encoders/${name}`).then(withoutDropout);
  encoders.set(name, known);
  return known;
}

function withoutDropout(encoder: Encoder): Encoder {
  return { ...encoder, config: { ...encoder.config, hiddenDropout: 0, attentionDropout: 0, classifierDropout: 0 } };
}

/** `Fuse(Stack(a,b),c)`, as Python writes a composition. */
function parse(text: string, name?: string): Composition {
  let at = 0;
  const one = (): Composition => {
    const word = /\w+/y;
    word.lastIndex = at;
    const found = (word.exec(text) as RegExpExecArray)[0];
    at += found.length;
    if (text[at] !== '(') return found;
    const children: Composition[] = [];
    while (text[at] === '(' || text[at] === ',') {
      at++;
      children.push(one());
    }
    at++;
    return found === 'Stack'
      ? stack(...(children as (string | Fuse)[]))
      : fuse(children as (string | Stack<string>)[], name === undefined ? {} : { name });
  };
  return one();
}

function fuseName(composition: Composition): string {
  return (composition as Fuse).name;
}

function expectDigest(got: Digest, want: Digest, name: string, tolerance: number): void {
  const scale = Math.max(want[0] as number, 1e-6);
  got.forEach((value, i) => void expect(Math.abs(value - (want[i] as number)) / scale, `${name}, ${i}`).toBeLessThan(tolerance));
}
