import { fail, joinPath, type Tensor } from '../../base/index.ts';
import {
  ADAPTER_CONFIG,
  asName,
  type HeadPackage,
  type LoadedAdapter,
  loadAdapter,
  loadFusion,
  loadSetup,
  saveAdapter,
} from '../../checkpoint/index.ts';
import type { Encoder } from '../../encoders/index.ts';
import { adaptersOf, attachComposition, type ConfiguredMethod, describe, encoderFacts, isFuse } from '../../methods/index.ts';
import { taskForHead, taskOfHead, withLabels } from '../../model/head-task.ts';
import { adapterModel, type Model, trainableParameters } from '../../model/model.ts';
import { DISTILLATION, type LogitsTarget, poolingOf, realRows, type Unit } from '../../objectives/index.ts';
import { createPredictor } from '../../predict/predictor.ts';
import type { TrainTaskResult } from '../card.ts';
import { digestOfTensors } from '../fingerprint.ts';
import { type Plan, type RunTaskOptions, runTask } from '../run-task.ts';

export interface DistillOptions extends RunTaskOptions {
  /** The folder of a fusion with its adapters and head, as `multigraft fuse` saves it. */
  readonly teacher: string;
  /** The fused adapter to start from; the one of the task's name when left out, if there is one. */
  readonly start?: string;
  /** What is trained; the method of the adapter to start from, or of the first one, when left out. */
  readonly method?: ConfiguredMethod;
  readonly format?: 'bin' | 'safetensors';
}

/** For an adapter that starts near its end. */
const LEARNING_RATE = 5e-4;

/**
 * Turns a fusion into one adapter: training holds its logits against the fusion's on the training rows (Ba & Caruana 2014) and
 * reads no label of them. Adapter and head start from the fusion's own where they fit.
 * @throws usage.value when the folder holds no fusion with a head, or is the output; task.card, task.label for a task that the
 * fusion does not answer; adapter.missing for a start that is not in it
 */
export async function distillFusion(options: DistillOptions): Promise<TrainTaskResult> {
  const { files, teacher, output } = options;
  if (output !== undefined && (await files.kind(output)) === 'folder' && (await files.realPath(output)) === (await files.realPath(teacher)))
    fail({ code: 'usage.value', subject: '--output', found: `${output}, the fusion itself`, expected: 'another folder' });
  const learningRate = options.settings.learningRate ?? LEARNING_RATE;
  return runTask({ ...options, settings: { ...options.settings, learningRate } }, distillPlan(options));
}

/** A fusion whose answers are learnt. */
interface FusionTeacher {
  readonly model: Model;
  readonly adapters: ReadonlyMap<string, LoadedAdapter>;
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly head: HeadPackage;
  readonly steps: number;
  /** Of all that its answers depend on. */
  readonly digest: string;
}

function distillPlan(options: DistillOptions): Plan {
  const { engine, method: wanted, format = 'bin' } = options;
  let [teacher, method]: [FusionTeacher | undefined, ConfiguredMethod | undefined] = [undefined, wanted];
  return {
    text: wanted ? `${wanted.text}, distilled from a fusion` : 'one adapter, distilled from a fusion',
    saves: 'adapter',
    decisive: { start: options.start ?? null, method: wanted?.text ?? null },
    async task(task, encoder) {
      teacher = await loadTeacher(options, encoder);
      const head = withLabels(teacher.head);
      // The fusion's logits stand in its own order of labels, whatever order the task's card has.
      return { ...taskForHead(task, head), labels: taskOfHead(head).labels };
    },
    pooling() {
      const { kind, config } = (teacher as FusionTeacher).head;
      return kind.pools ? poolingOf(config) : undefined;
    },
    async model(encoder, head, note) {
      const fusion = teacher as FusionTeacher;
      const start = startOf(options, fusion);
      method ??= (start ?? ([...fusion.adapters.values()][0] as LoadedAdapter)).method;
      const model: Model = { ...adapterModel(encoder, method, head.name, head), objective: DISTILLATION };
      const initial = await initialOf(options, model, fusion, start);
      note(
        `Learning from the fusion of ${[...fusion.adapters.keys()].join(', ')}${start && initial.size > 0 ? `, from the adapter ${start.name} on` : ''}.`,
      );
      return { model, initial, contents: { 'content of the fusion': fusion.digest } };
    },
    async teach(train) {
      const { model, tensors, head, steps } = teacher as FusionTeacher;
      const predictor = await createPredictor(engine, model, { fixed: tensors, steps: () => steps });
      const numbers = await predictor.logits(train.prepared.units);
      await predictor.release();
      const outputs = head.kind.outputs(head.config);
      const units = train.prepared.units.map((unit, i): Unit => {
        const values = (numbers[i] as Float32Array).subarray(0, realRows(head, unit) * outputs);
        const target: LogitsTarget = { kind: 'logits', values };
        return { ...unit, target };
      });
      return { ...train, prepared: { ...train.prepared, units } };
    },
    save: (output, place, { model: { encoder, attachment }, head, tensors }) =>
      saveAdapter(output, place, { name: attachment.name, method: method as ConfiguredMethod, tensors, head, model: encoder }, { format }),
  };
}

async function loadTeacher({ files, teacher: folder }: DistillOptions, encoder: Encoder): Promise<FusionTeacher> {
  if ((await files.kind(joinPath(folder, ADAPTER_CONFIG))) === 'file')
    fail({
      code: 'usage.value',
      subject: folder,
      found: 'an adapter',
      expected: 'a fusion of adapters',
      next: 'Give the folder that multigraft fuse made.',
    });
  const { composition, fusions } = await loadSetup(files, folder);
  if (!isFuse(composition))
    return fail({ code: 'usage.value', subject: folder, found: describe(composition), expected: 'a fusion of adapters' });
  const adapters = new Map<string, LoadedAdapter>();
  for (const name of adaptersOf(composition))
    adapters.set(name, await loadAdapter(files, joinPath(folder, name), { encoder, head: false, as: name }));
  const methods = new Map([...adapters].map(([name, { method }]) => [name, method]));
  const fusion = await loadFusion(files, fusions.get(composition.name) as string, { encoder, adapters: methods });
  const { head } = fusion;
  if (!head)
    return fail({ code: 'usage.value', subject: folder, found: 'a fusion without a head', expected: 'a fusion that answers a task' });
  const parts = { adapters: methods, fusions: new Map([[composition.name, fusion.config]]) };
  const attachment = attachComposition(composition, parts, encoderFacts(encoder));
  const frozen = new Map([...adapters.values()].flatMap((adapter) => [...adapter.tensors]));
  const tensors = new Map([...fusion.tensors, ...head.tensors]);
  const steps = fusion.steps ?? 0;
  const settings = [composition, ...[...methods.values()].map(({ config }) => config), fusion.config, head.config, steps];
  const digest = await digestOfTensors(new Map([...frozen, ...tensors]), settings);
  return { model: { encoder, attachment, heads: [head], frozen }, adapters, tensors, head, steps, digest };
}

function startOf({ start, task }: DistillOptions, { adapters }: FusionTeacher): LoadedAdapter | undefined {
  if (start === undefined) return adapters.get(asName(task.name));
  return (
    adapters.get(start) ??
    fail({
      code: 'adapter.missing',
      subject: `--start ${start}`,
      found: 'no such adapter in the fusion',
      expected: `one of ${[...adapters.keys()].join(', ')}`,
    })
  );
}

/** The tensors of the adapter to start from and of the fusion's head, under the student's names, where shapes agree. */
async function initialOf({ files, teacher }: DistillOptions, model: Model, { head }: FusionTeacher, start: LoadedAdapter | undefined) {
  const { encoder, attachment } = model;
  const ofAdapter = start
    ? (await loadAdapter(files, joinPath(teacher, start.name), { encoder, head: false, as: attachment.name })).tensors
    : new Map<string, Tensor>();
  const ofHead = [...head.tensors].map(
    ([name, value]) => [name.replace(`heads.${head.name}.`, `heads.${model.heads[0]?.name}.`), value] as const,
  );
  const shapes = new Map(trainableParameters(model).map(({ name, shape }) => [name, String(shape)]));
  return new Map([...ofAdapter, ...ofHead].filter(([name, { shape }]) => shapes.get(name) === String(shape)));
}
