import { describe, expect, test } from 'vitest';
import { memoryFiles } from '../../src/base/files.ts';
import type { Tensor } from '../../src/base/tensor.ts';
import { loadAdapter, loadFusion, loadHead, loadSetup, saveFusion } from '../../src/checkpoint/index.ts';
import { type Encoder, loadEncoder } from '../../src/encoders/index.ts';
import type { Value } from '../../src/graph/index.ts';
import { attachComposition, type Composition, type ConfiguredMethod } from '../../src/methods/index.ts';
import { drawModel } from '../../src/model/draw.ts';
import { weightsOf } from '../../src/model/model.ts';
import { noDropout } from '../../src/nn/index.ts';
import type { Head } from '../../src/objectives/index.ts';
import { nodeEngine } from '../../src/session/node.ts';
import { goldenFiles } from './files.ts';
import { feedsOf, relativeError } from './forward.ts';
import { fusionSaved } from './fusion.ts';

const golden = fusionSaved();
const FOLDER = 'test/golden/fusion-saved';
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

async function tinyBert(): Promise<Encoder> {
  return { ...(await loadEncoder(goldenFiles, `test/golden/encoders/${golden.encoder}`)), name: `multigraft-tiny-${golden.encoder}` };
}

async function adaptersOfSetup(encoder: Encoder) {
  const loaded = await Promise.all(['a', 'b'].map((name) => loadAdapter(goldenFiles, `${FOLDER}/setup/${name}`, { encoder })));
  return {
    methods: new Map(loaded.map(({ name, method }) => [name, method])),
    tensors: new Map(loaded.flatMap(({ tensors }) => [...tensors])),
  };
}

interface Whole {
  readonly composition: Composition;
  readonly methods: ReadonlyMap<string, ConfiguredMethod>;
  readonly fusion: Awaited<ReturnType<typeof loadFusion>>;
  readonly head: Head & { readonly tensors: ReadonlyMap<string, Tensor> };
  readonly adapterTensors: ReadonlyMap<string, Tensor>;
}

async function logitsOf(encoder: Encoder, { composition, methods, fusion, head, adapterTensors }: Whole): Promise<Tensor> {
  const parts = { adapters: methods, fusions: new Map([[fusion.name, fusion.config]]) };
  const attachment = attachComposition(composition, parts, { encoder: encoder.config, family: encoder.family });
  const { logits } = drawModel({ encoder, attachment, heads: [head] }, noDropout, () => false, { read: 'all' });
  const tensors = new Map([...adapterTensors, ...fusion.tensors, ...head.tensors]);
  const session = await (await nodeEngine({ threads: 1 })).compile(
    { outputs: { logits: logits[0] as Value } },
    weightsOf({ encoder }, tensors),
  );
  const results = await session.run(feedsOf(golden, encoder));
  await session.release();
  return results.logits as Tensor;
}

describe('folders that Python saved', () => {
  test('a setup gives the same logits', async () => {
    const encoder = await tinyBert();
    const { composition, heads, fusions } = await loadSetup(goldenFiles, `${FOLDER}/setup`);
    expect(composition).toEqual({ type: 'fuse', children: ['a', 'b'], name: 'a,b' });
    expect([heads, [...fusions]]).toEqual([[golden.folders.setup.head], [['a,b', `${FOLDER}/setup/a,b`]]]);
    const { methods, tensors } = await adaptersOfSetup(encoder);
    const fusion = await loadFusion(goldenFiles, `${FOLDER}/setup/a,b`, { encoder, adapters: methods });
    // Python's file also has what belongs to the fusion "a,b-static", whose name begins alike.
    expect(fusion.notes).toEqual([
      "test/golden/fusion-saved/setup/a,b/pytorch_model_adapter_fusion.bin also holds weights of the fusion 'a,b-static', ignored.",
    ]);
    expect(fusion.tensors.size).toBe(3 * 5);
    const head = await loadHead(goldenFiles, `${FOLDER}/setup/golden`, { encoder });
    const logits = await logitsOf(encoder, { composition, methods, fusion, head, adapterTensors: tensors });
    expect(relativeError(logits, golden.folders.setup.logits.flat())).toBeLessThan(1e-5);
  });

  test('a fusion with a name and a head of its own gives the same logits', async () => {
    const encoder = await tinyBert();
    const { methods, tensors } = await adaptersOfSetup(encoder);
    const fusion = await loadFusion(goldenFiles, `${FOLDER}/static`, { encoder, adapters: methods });
    const { name, head } = fusion;
    expect([name, head?.name, fusion.notes]).toEqual([golden.folders.static.fusion, golden.folders.static.head, []]);
    const composition: Composition = { type: 'fuse', children: ['a', 'b'], name };
    const logits = await logitsOf(encoder, { composition, methods, fusion, head: head as Whole['head'], adapterTensors: tensors });
    expect(relativeError(logits, golden.folders.static.logits.flat())).toBeLessThan(1e-5);
  });

  test.each([
    ['setup/a,b', 'safetensors'],
    ['static', 'bin'],
  ] as const)('%s, written here as %s and read again, is the same', async (folder, format) => {
    const encoder = await tinyBert();
    const { methods } = await adaptersOfSetup(encoder);
    const { notes: _, ...fusion } = await loadFusion(goldenFiles, `${FOLDER}/${folder}`, { encoder, adapters: methods });
    const files = memoryFiles();
    await saveFusion(files, 'again', fusion, { format });
    expect(text(await files.read('again/adapter_fusion_config.json'))).toBe(
      text(await goldenFiles.read(`${FOLDER}/${folder}/adapter_fusion_config.json`)),
    );
    const { notes, ...again } = await loadFusion(files, 'again', { encoder, adapters: methods });
    expect(notes).toEqual([]);
    expect(again).toEqual(fusion);
  });
});
