import { defined, fail, joinPath, type Tensor } from '../../base/index.ts';
import {
  asName,
  fusionSpecs,
  type LoadedAdapter,
  loadAdapter,
  SETUP_CONFIG,
  saveAdapter,
  saveFusion,
  saveSetup,
} from '../../checkpoint/index.ts';
import type { Encoder } from '../../encoders/index.ts';
import { attachComposition, encoderFacts, type FusionConfig, fuse } from '../../methods/index.ts';
import { untrainedValues } from '../../model/start-values.ts';
import { ATTENTION, type AttentionTable, attentionTable } from '../../predict/attention.ts';
import type { TrainTaskResult } from '../card.ts';
import { digestOfTensors } from '../fingerprint.ts';
import { type Plan, type RunTaskOptions, runTask } from '../run-task.ts';

export interface TrainFusionOptions extends RunTaskOptions {
  /** Folders of the adapters to fuse, in order. */
  readonly adapters: readonly string[];
  readonly config: FusionConfig;
  /** Whether the adapters train with the fusion. */
  readonly trainAdapters?: boolean;
  readonly format?: 'bin' | 'safetensors';
}

export interface FusionResult extends TrainTaskResult {
  /** Over the test rows, or the validation rows where there are no others; absent without either. */
  readonly attention?: AttentionTable;
}

/**
 * Learns an attention over adapters for one task (Pfeiffer et al. 2021, stage two) and saves all of it as one setup: the
 * adapters, the fusion, its head.
 * @throws adapter.duplicate, adapter.mismatch, method.config for adapters that cannot be fused
 */
export async function trainFusion(options: TrainFusionOptions): Promise<FusionResult> {
  let attention: AttentionTable | undefined;
  const plan = fusionPlan(options, (table) => {
    attention = table;
  });
  // Not the task's own name: that is most often the name of one of the adapters.
  const name = options.name ?? `${asName(options.task.name)}-fusion`;
  const result = await runTask({ ...options, name }, plan);
  return { ...result, ...defined({ attention }) };
}

function fusionPlan(
  { files, adapters: folders, config, trainAdapters = false, format = 'bin' }: TrainFusionOptions,
  onAttention: (table: AttentionTable) => void,
): Plan {
  let loaded: ReadonlyMap<string, LoadedAdapter> = new Map();
  let name = '';
  let attention: AttentionTable | undefined;
  const text = `fusion of ${folders.length} adapters`;
  return {
    text,
    decisive: { fusion: config, trainAdapters },
    saves: 'setup',
    async model(encoder, head, note) {
      loaded = await loadAll(encoder, note);
      name = head.name;
      if (loaded.has(name))
        fail({
          code: 'usage.value',
          subject: '--name',
          found: `'${name}', the name of one of the adapters`,
          expected: 'a name of its own: the head of that name would serve both',
          next: 'Leave it out, or choose another.',
        });
      const setup = fuse([...loaded.keys()], { name });
      const methods = new Map([...loaded].map(([name, { method }]) => [name, method]));
      const attachment = attachComposition(
        setup,
        { adapters: methods, fusions: new Map([[setup.name, config]]), trainAdapters },
        encoderFacts(encoder),
      );
      const tensors = new Map<string, Tensor>([...loaded.values()].flatMap((adapter) => [...adapter.tensors]));
      const contents: Record<string, unknown> = { adapters: [...loaded.keys()] };
      for (const [name, adapter] of loaded)
        contents[`content of the adapter ${name}`] = await digestOfTensors(adapter.tensors, adapter.method.config);
      return trainAdapters
        ? { model: { encoder, attachment, heads: [head] }, initial: tensors, contents }
        : { model: { encoder, attachment, heads: [head], frozen: tensors }, initial: new Map(), contents };
    },
    onAnswers(_, answers) {
      attention = attentionTable(answers, name, [...loaded.keys()]);
      onAttention(attention);
    },
    async save(output, folder, { model, head, tensors, step }) {
      const { encoder, attachment } = model;
      for (const [name, { method, tensors: before }] of loaded) {
        const trained = new Map([...before].map(([key, value]) => [key, tensors.get(key) ?? value]));
        await saveAdapter(output, joinPath(folder, name), { name, method, tensors: trained, model: encoder }, { format });
      }
      const adapters = new Map([...loaded].map(([name, { method }]) => [name, method]));
      const facts = { name: attachment.name, adapters, config, model: encoder };
      // Python wants those of layers where nothing is fused, too.
      const all = new Map(
        [...(await untrainedValues(fusionSpecs(facts), encoder))].map(([key, value]) => [key, tensors.get(key) ?? value]),
      );
      await saveFusion(output, joinPath(folder, attachment.name), { ...facts, tensors: all, steps: step, head }, { format });
      if (attention) await output.write(joinPath(folder, ATTENTION), `${JSON.stringify(attention, null, 1)}\n`);
      await saveSetup(output, folder, fuse([...loaded.keys()], { name: attachment.name }), [head]);
    },
  };

  async function loadAll(encoder: Encoder, note: (text: string) => void): Promise<ReadonlyMap<string, LoadedAdapter>> {
    const all = new Map<string, LoadedAdapter>();
    for (const folder of folders) {
      if ((await files.kind(joinPath(folder, SETUP_CONFIG))) === 'file')
        fail({
          code: 'usage.value',
          subject: folder,
          found: 'a fusion',
          expected: 'an adapter',
          next: 'Give the adapters in it, or turn it into one with multigraft distill.',
        });
      const adapter = await loadAdapter(files, folder, { encoder, head: false });
      if (all.has(adapter.name))
        fail({
          code: 'adapter.duplicate',
          subject: folder,
          found: `an adapter named '${adapter.name}', as one before it`,
          expected: 'adapters of different names',
          next: 'Give each adapter once; save one of them under another name.',
        });
      all.set(adapter.name, adapter);
    }
    for (const text of new Set([...all.values()].flatMap(({ notes }) => notes))) note(text);
    return all;
  }
}
