import { defined, elementCount, fail, nearest, type Tensor } from '../../base/index.ts';
import { add, constant, input } from '../../graph/index.ts';
import { attachCaMtl, type CaMtlAttachment, hooksOfCaMtl } from '../../methods/index.ts';
import type { ParameterSpec } from '../../nn/index.ts';
import { type Head, labelsOf } from '../../objectives/index.ts';
import { copyTokenizer } from '../../text/index.ts';
import { type SavedCaMtl, saveCaMtl } from './ca-mtl-folder.ts';
import type { Beginning, MultiTaskMethod } from './method.ts';
import { cosine } from './task-features.ts';

/** Of 1e-3 to 3e-2 (results/added-task.json): a row and a head are all that trains, and they begin far from their best. */
const LEARNING_RATE = 1e-2;

/**
 * Adds tasks to a trained CA-MTL model: for each a row of the task embeddings and a head train, all else keeps its value, so
 * that what the model answers to the tasks before stays the same bit by bit. A new row begins as that of the task named
 * `like`, or of the one whose rows are most alike: the largest cosine of the features that were saved with the model. Where
 * there are none, as in published models, the head decides: the same labels, else the same kind and number of outputs, else
 * the kind, else the first.
 * @throws usage.value for an unknown `like`
 */
export function extendCaMtl(saved: SavedCaMtl, { like }: { readonly like?: string } = {}): MultiTaskMethod<CaMtlAttachment> {
  const { attachment: trained, heads: earlier, tensors } = saved;
  const { config, context } = trained.plan;
  const names = earlier.map(({ name }) => name);
  if (like !== undefined && !names.includes(like)) {
    const near = nearest(like, names);
    const next = near && { next: `Did you mean ${near}?` };
    fail({ code: 'usage.value', subject: '--like', found: like, expected: `one of ${names.join(', ')}`, ...next });
  }
  const grown = (count: number) => attachCaMtl(config, { ...context, tasks: earlier.length + count });
  return {
    text: trained.text,
    trainsEncoder: true,
    heads: 'pooled',
    grows: true,
    base: saved,
    ...defined({ like }),
    mostTokens: config.max_length,
    attach(_, names) {
      const whole = grown(names.length);
      const table = tableOf(whole);
      const taskIds = input('taskIds', 'int32', ['B']);
      const shift = constant({ dtype: 'int32', shape: [], data: Int32Array.of(earlier.length) });
      return {
        ...whole,
        learningRate: LEARNING_RATE,
        taskIds,
        trainsEncoder: false,
        // Decay would move the rows of other tasks, whose gradients are zero.
        parameters: whole.added.map((spec) => (spec.name === table.name ? { ...spec, decay: false } : { ...spec, trains: false })),
        anew: new Map(),
        hooks: (parameters) => hooksOfCaMtl({ ...whole, taskIds: add(taskIds, shift) }, parameters),
      };
    },
    initial(heads, features) {
      const table = tableOf(grown(heads.length));
      const before = tensors.get(table.name) as Tensor;
      const width = table.shape[1] as number;
      const data = new Float32Array(elementCount(table.shape));
      data.set(before.data as Float32Array);
      const begins = heads.map((head, i) => beginning(saved, like, head, features[i] as Tensor));
      begins.forEach(({ as }, i) => {
        const from = earlier.findIndex(({ name }) => name === as);
        data.set((before.data as Float32Array).subarray(from * width, (from + 1) * width), (earlier.length + i) * width);
      });
      return { parameters: new Map([...tensors, [table.name, { ...before, shape: table.shape, data }]]), begins };
    },
    async save(files, folder, { model: { encoder, heads }, parameters, training, features }) {
      await copyTokenizer(files, encoder.folder, folder);
      await saveCaMtl(files, folder, {
        encoder,
        attachment: grown(heads.length),
        heads: [...earlier, ...heads],
        tensors: new Map([...tensors, ...parameters]),
        training: [...saved.training, ...training],
        features: new Map([...(saved.features ?? []), ...features]),
      });
    },
  };
}

function tableOf({ added }: CaMtlAttachment): ParameterSpec {
  return added.find(({ name }) => name.endsWith('task_type_embeddings.weight')) as ParameterSpec;
}

function beginning({ heads: earlier, features }: SavedCaMtl, like: string | undefined, head: Head, feature: Tensor): Beginning {
  const cosines = earlier.flatMap(({ name }): [string, number][] => {
    const before = features?.get(name);
    return before ? [[name, cosine(feature, before)]] : [];
  });
  const similarities = cosines.length > 0 ? { similarities: Object.fromEntries(cosines) } : {};
  if (like !== undefined) return { as: like, by: 'choice', ...similarities };
  if (cosines.length < earlier.length) return { as: (earlier[mostAlike(head, earlier)] as Head).name, by: 'head' };
  const [nearest] = cosines.toSorted(([, a], [, b]) => b - a) as [[string, number]];
  return { as: nearest[0], by: 'features', ...similarities };
}

function mostAlike(head: Head, earlier: readonly Head[]): number {
  const outputs = ({ kind, config }: Head) => kind.outputs(config);
  const likeness = earlier.map((other): number => {
    if (other.kind.task !== head.kind.task) return 0;
    const labels = labelsOf(head);
    if (labels.length > 0 && String(labels) === String(labelsOf(other))) return 3;
    return outputs(other) === outputs(head) ? 2 : 1;
  });
  return likeness.indexOf(Math.max(...likeness));
}
