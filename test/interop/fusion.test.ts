import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { AttachedHead } from '../../src/auto-adapter-model/attached.ts';
import { fusionFacts, modelOf, trainedValues } from '../../src/auto-adapter-model/model-state.ts';
import { saveAttached, saveAttachedFusion, saveAttachedSetup } from '../../src/auto-adapter-model/saved.ts';
import { createRandom } from '../../src/base/random.ts';
import type { Tensor } from '../../src/base/tensor.ts';
import { fusionSpecs } from '../../src/checkpoint/index.ts';
import { loadEncoder } from '../../src/encoders/index.ts';
import type { Value } from '../../src/graph/index.ts';
import { adaptersOf, type Composition, configureMethod, fuse, fusionConfig, fusionsOf, lastOf, stack } from '../../src/methods/index.ts';
import { drawModel } from '../../src/model/draw.ts';
import { weightsOf } from '../../src/model/model.ts';
import { noDropout } from '../../src/nn/index.ts';
import { createHead, headParameters } from '../../src/objectives/index.ts';
import { referenceEngine } from '../../src/session/reference.ts';
import { goldenFiles } from '../golden/files.ts';
import { type Batch, feedsOf, readCases } from '../golden/forward.ts';
import { askPython, emptyState, python, record, valuesOf } from './python.ts';

/** Fusions with their adapters and heads, and whole setups, that this package writes, loaded by Python's adapters. */
const FAMILIES = ['bert', 'roberta', 'xlm-roberta', 'distilbert', 'electra', 'albert', 'albert-groups'];
const SEQ = { a: 'seq_bn[reduction_factor=8]', b: 'seq_bn[reduction_factor=4]', c: "seq_bn[reduction_factor=16,non_linearity='gelu']" };
const DOUBLE = { a: 'double_seq_bn[reduction_factor=8]', b: 'double_seq_bn[reduction_factor=4]' };
const UNEVEN = { a: 'seq_bn[reduction_factor=8,leave_out=[1, 2]]', b: 'seq_bn[reduction_factor=4,leave_out=[1]]' };
const NOTHING = { query: false, key: false, value: false };

interface Plan {
  readonly title: string;
  readonly encoder: string;
  readonly adapters: Readonly<Record<string, string>>;
  readonly setup: Composition;
  readonly config?: string | Readonly<Record<string, unknown>>;
  /** Each part in a folder of its own, or the setup whole. */
  readonly as: 'parts' | 'setup';
  readonly format: 'bin' | 'safetensors';
}

const plan = (encoder: string, as: Plan['as'], format: Plan['format'], rest: Partial<Plan> & { readonly what: string }): Plan => ({
  adapters: SEQ,
  setup: fuse(['a', 'b']),
  ...rest,
  title: `${rest.what} on ${encoder} as ${as}, ${format}`,
  encoder,
  as,
  format,
});

const PLANS: readonly Plan[] = [
  ...FAMILIES.map((name, i) => plan(name, i % 2 ? 'setup' : 'parts', i % 3 ? 'bin' : 'safetensors', { what: 'seq_bn, dynamic' })),
  ...FAMILIES.map((name, i) =>
    plan(name, i % 2 ? 'parts' : 'setup', i % 3 ? 'safetensors' : 'bin', { what: 'both sites', adapters: DOUBLE }),
  ),
  plan('bert', 'setup', 'bin', { what: 'three, with a name', setup: fuse(['c', 'a', 'b'], { name: 'mine' }), config: 'static' }),
  plan('bert', 'parts', 'bin', { what: 'with a name', setup: fuse(['a', 'b'], { name: 'mine' }) }),
  plan('bert', 'parts', 'safetensors', { what: 'nothing to train', config: NOTHING }),
  plan('bert', 'setup', 'bin', { what: 'nothing to train', config: NOTHING }),
  plan('bert', 'parts', 'bin', { what: 'a layer without adapters', adapters: UNEVEN }),
  plan('roberta', 'setup', 'safetensors', { what: 'a stack in a fusion', setup: fuse([stack('a', 'b'), 'c']) }),
  plan('bert', 'setup', 'bin', { what: 'a fusion in a stack', setup: stack(fuse(['a', 'b']), 'c') }),
  plan('bert', 'setup', 'safetensors', { what: 'a fusion on a stack', setup: stack('c', fuse(['a', 'b'], { name: 'x y' })) }),
  plan('distilbert', 'parts', 'bin', { what: 'before the norm, without a value', config: { value: false, query_before_ln: true } }),
];

describe.skipIf(!python)(
  'fusions that this package writes, read by Python (skipped: MULTIGRAFT_PYTHON names no Python with adapters)',
  () => {
    let folder: string;
    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'multigraft-fusion-'));
    });
    afterAll(() => rm(folder, { recursive: true, force: true }));

    test('give the same logits, with no tensor missing or left over', async () => {
      const cases = [];
      for (const [i, one] of PLANS.entries()) cases.push(await caseOf(one, join(folder, String(i))));
      const manifest = join(folder, 'manifest.json');
      await writeFile(manifest, JSON.stringify({ tolerance: 1e-5, cases }));
      const results = await askPython('load_fusion.py', manifest);
      expect(results.filter(({ ok }) => !ok)).toEqual([]);
      expect(PLANS).toHaveLength(23);
      expect(results.map(({ name }) => name)).toEqual(PLANS.map(({ title }) => title));
      expect(results.every(({ relative }) => relative !== null)).toBe(true);
      expect(new Set(results.map(({ weights }) => weights)).size).toBe(2);
      await record('fusion', 'test/interop/fusion.test.ts', 'fusions with adapters and heads, and setups,', results);
    });
  },
);

async function caseOf({ title, encoder: name, adapters, setup, config = 'dynamic', as, format }: Plan, folder: string) {
  const { state, head } = await stateOf(name, { adapters, setup, config });
  const model = await modelOf(state, setup, [head]);
  const { logits } = drawModel(model, noDropout, () => false, { read: 'all' });
  const session = await referenceEngine().compile(
    { outputs: { logits: logits[0] as Value } },
    weightsOf(model, trainedValues(state, setup, [head])),
  );
  const batch = batchOf(state.encoder.config.types > 0, name);
  const results = await session.run(feedsOf(batch, state.encoder));
  await session.release();
  const flat = Array.from((results.logits as Tensor).data as Float32Array);
  const expected = { ...batch, logits: batch.inputIds.map((_, row) => flat.slice(3 * row, 3 * row + 3)) };
  const common = { name: title, encoder: resolve(`test/golden/encoders/${name}`), ...expected };
  if (as === 'setup') {
    await saveAttachedSetup(state, folder, setup, { format, head: head.name });
    return { ...common, setup: folder };
  }
  for (const one of adaptersOf(setup)) await saveAttached(state, join(folder, one), one, { format });
  const [fusion] = fusionsOf(setup);
  const { name: fusionName } = fusion as NonNullable<typeof fusion>;
  await saveAttachedFusion(state, join(folder, 'fusion'), fusionName, { format });
  return { ...common, adapters: adaptersOf(setup).map((one) => join(folder, one)), fusion: join(folder, 'fusion') };
}

async function stateOf(name: string, { adapters, setup, config }: Required<Pick<Plan, 'adapters' | 'setup' | 'config'>>) {
  const encoder = await loadEncoder(goldenFiles, `test/golden/encoders/${name}`);
  const random = createRandom(17, name.length);
  const state = emptyState(encoder);
  for (const [key, text] of Object.entries(adapters)) {
    const method = configureMethod(text);
    const specs = method.method.parameters(method.config, { encoder: encoder.config, family: encoder.family, name: key });
    state.adapters.set(key, { method, tensors: await valuesOf(specs, encoder, random) });
  }
  for (const one of fusionsOf(setup)) {
    state.fusions.set(one.name, { adapters: one.children.map(lastOf), config: fusionConfig(config) });
    const tensors = await valuesOf(fusionSpecs(fusionFacts(state, one.name)), encoder, random);
    state.fusions.set(one.name, { ...state.fusions.get(one.name), tensors });
  }
  const headName = (fusionsOf(setup)[0] as { name: string }).name;
  const label2id = { no: 0, perhaps: 1, yes: 2 };
  const head: AttachedHead = createHead(headName, { head_type: 'classification', num_labels: 3, layers: 2, label2id }, headName);
  const filled = { ...head, tensors: await valuesOf(headParameters(head, encoder.config), encoder, random) };
  state.heads.set(headName, filled);
  return { state, head: filled };
}

function batchOf(withTypes: boolean, name: string): Batch {
  const { tokenTypeIds, ...batch } = readCases<{ batches: Record<string, Batch> }>('methods/methods.json').batches[name] as Batch;
  return { ...batch, ...(withTypes && tokenTypeIds && { tokenTypeIds }) };
}
