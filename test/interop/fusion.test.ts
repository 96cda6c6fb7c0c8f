import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Attached, AttachedFusion, AttachedHead } from '../../src/auto-adapter-model/attached.ts';
import { kindsWith } from '../../src/auto-adapter-model/extensions.ts';
import { fusionFacts, type ModelState, modelOf, trainedValues } from '../../src/auto-adapter-model/model-state.ts';
import { Named } from '../../src/auto-adapter-model/named.ts';
import { saveAttached, saveAttachedFusion, saveAttachedSetup } from '../../src/auto-adapter-model/saved.ts';
import { nodeFiles } from '../../src/base/files-node.ts';
import { createRandom, type Random } from '../../src/base/random.ts';
import { float32, type Tensor } from '../../src/base/tensor.ts';
import { fusionSpecs } from '../../src/checkpoint/index.ts';
import { loadEncoder } from '../../src/encoders/index.ts';
import type { Value } from '../../src/graph/index.ts';
import { adaptersOf, type Composition, configureMethod, fuse, fusionConfig, fusionsOf, lastOf, stack } from '../../src/methods/index.ts';
import { drawModel } from '../../src/model/draw.ts';
import { weightsOf } from '../../src/model/model.ts';
import { noDropout, type ParameterSpec } from '../../src/nn/index.ts';
import { createHead, headParameters } from '../../src/objectives/index.ts';
import { nodeEngine } from '../../src/session/node.ts';
import { type Batch, feedsOf, readCases } from '../golden/forward.ts';

/** Fusions with their adapters and heads, and whole setups, that this package writes, loaded by Python's adapters. */
const python = process.env.MULTIGRAFT_PYTHON;
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

interface Result {
  readonly name: string;
  readonly ok: boolean;
  readonly relative: number | null;
  readonly weights: string | null;
}

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
      const results = await load(manifest);
      expect(results.filter(({ ok }) => !ok)).toEqual([]);
      expect(PLANS).toHaveLength(23);
      expect(results.map(({ name }) => name)).toEqual(PLANS.map(({ title }) => title));
      expect(results.every(({ relative }) => relative !== null)).toBe(true);
      expect(new Set(results.map(({ weights }) => weights)).size).toBe(2);
      if (process.env.MULTIGRAFT_RECORD_FUSION) await record(process.env.MULTIGRAFT_RECORD_FUSION, results);
    });
  },
);

async function caseOf({ title, encoder: name, adapters, setup, config = 'dynamic', as, format }: Plan, folder: string) {
  const { state, head } = await stateOf(name, { adapters, setup, config });
  const model = await modelOf(state, setup, [head]);
  const { logits } = drawModel(model, noDropout, () => false, { read: 'all' });
  const session = await (await nodeEngine({ threads: 1 })).compile(
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
  const encoder = await loadEncoder(nodeFiles, `test/golden/encoders/${name}`);
  const random = createRandom(17, name.length);
  const state: ModelState = {
    files: nodeFiles,
    kinds: kindsWith({}),
    encoder,
    tokenizer: undefined as never,
    adapters: new Named<Attached>('adapter'),
    fusions: new Named<AttachedFusion>('fusion'),
    heads: new Named<AttachedHead>('head'),
  };
  for (const [key, text] of Object.entries(adapters)) {
    const method = configureMethod(text);
    const specs = method.method.parameters(method.config, { encoder: encoder.config, family: encoder.family, name: key });
    state.adapters.set(key, { method, tensors: randomTensors(specs, random) });
  }
  for (const one of fusionsOf(setup)) {
    state.fusions.set(one.name, { adapters: one.children.map(lastOf), config: fusionConfig(config) });
    const tensors = randomTensors(fusionSpecs(fusionFacts(state, one.name)), random);
    state.fusions.set(one.name, { ...state.fusions.get(one.name), tensors });
  }
  const headName = (fusionsOf(setup)[0] as { name: string }).name;
  const label2id = { no: 0, perhaps: 1, yes: 2 };
  const head: AttachedHead = createHead(headName, { head_type: 'classification', num_labels: 3, layers: 2, label2id }, headName);
  const filled = { ...head, tensors: randomTensors(headParameters(head, encoder.config), random) };
  state.heads.set(headName, filled);
  return { state, head: filled };
}

/** No zeros, no unit gains: every tensor must arrive to give the right output. */
function randomTensors(specs: readonly ParameterSpec[], random: Random): Map<string, Tensor> {
  const value = (shape: readonly number[]) => random.normal() * 0.2 + (shape.length === 1 ? 0.1 : 0);
  const size = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);
  return new Map(
    specs.map(({ name, shape }) => [
      name,
      float32(
        shape,
        Float32Array.from({ length: size(shape) }, () => value(shape)),
      ),
    ]),
  );
}

function batchOf(withTypes: boolean, name: string): Batch {
  const { tokenTypeIds, ...batch } = readCases<{ batches: Record<string, Batch> }>('methods/methods.json').batches[name] as Batch;
  return { ...batch, ...(withTypes && tokenTypeIds && { tokenTypeIds }) };
}

async function load(manifest: string): Promise<Result[]> {
  const run = promisify(execFile)(python as string, ['tools/golden/load_fusion.py', manifest], {
    env: { ...process.env, OMP_NUM_THREADS: '1', PYTHONDONTWRITEBYTECODE: '1' },
    maxBuffer: 2 ** 28,
  });
  // Exit code 1 means that a case differs: its line says which.
  const { stdout, stderr } = await run.catch((error: { stdout: string; stderr: string }) => error);
  const lines = stdout.split('\n').filter((line) => line.startsWith('{"name"'));
  if (lines.length === 0) throw new Error(stderr);
  return lines.map((line) => JSON.parse(line)).map(({ attentions: _, logits: __, ...result }) => result);
}

async function record(file: string, results: readonly Result[]): Promise<void> {
  const script =
    'import json,platform,torch,transformers,adapters;print(json.dumps({"python":platform.python_version(),**{m.__name__:m.__version__ for m in (torch,transformers,adapters)}}))';
  const { stdout } = await promisify(execFile)(python as string, ['-c', script], { env: { ...process.env, OMP_NUM_THREADS: '1' } });
  const report = {
    what: 'fusions with adapters and heads, and setups, written by this package, loaded by Python: largest difference of the logits over their largest value',
    script: 'test/interop/fusion.test.ts',
    versions: { node: process.versions.node, ...JSON.parse(stdout.trim().split('\n').at(-1) as string) },
    cases: results.length,
    ok: results.filter(({ ok }) => ok).length,
    worst: Math.max(...results.map(({ relative }) => relative ?? Number.POSITIVE_INFINITY)),
    results: results.map(({ name, relative, weights }) => ({ name, relative, weights })),
  };
  await nodeFiles.write(file, `${JSON.stringify(report, null, 1)}\n`);
}
