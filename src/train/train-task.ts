import { fail, type Tensor } from '../base/index.ts';
import { loadAdapter, saveAdapter, saveEncoder, saveHead } from '../checkpoint/index.ts';
import type { ConfiguredMethod } from '../methods/index.ts';
import { adapterModel, type Model, trainableParameters } from '../model/model.ts';
import { type Head, labelsOf } from '../objectives/index.ts';
import { copyTokenizer } from '../text/index.ts';
import type { TrainTaskResult } from './card.ts';
import { digestOfTensors } from './fingerprint.ts';
import { type Plan, type RunTaskOptions, runTask } from './run-task.ts';

export interface TrainTaskOptions extends RunTaskOptions {
  readonly method: ConfiguredMethod;
  /** A saved adapter to start from. */
  readonly init?: string;
  readonly format?: 'bin' | 'safetensors';
}

/** Trains one task module and saves it in the layout of the Python library, with a card and its metrics. */
export function trainTask(options: TrainTaskOptions): Promise<TrainTaskResult> {
  return runTask(options, methodPlan(options));
}

function methodPlan(options: TrainTaskOptions): Plan {
  const { method, init, model: folder, format = 'bin' } = options;
  return {
    text: method.text,
    exact: method.config.solved === true,
    saves: method.method.architecture !== undefined ? 'adapter' : method.method.trainsEncoder ? 'model' : 'head',
    async model(encoder, head, note) {
      const model = adapterModel(encoder, method, head.name, head);
      const initial = await initialValues(options, model, note);
      return { model, initial, ...(init !== undefined && { contents: { 'content of --init': await digestOfTensors(initial) } }) };
    },
    async save(files, output, { model: { encoder, attachment }, head, tensors }) {
      if (method.method.architecture !== undefined)
        return saveAdapter(files, output, { name: attachment.name, method, tensors, head, model: encoder }, { format });
      await saveHead(files, output, head, encoder, { format });
      if (!method.method.trainsEncoder) return;
      await saveEncoder(files, output, encoder, tensors);
      await copyTokenizer(files, folder, output);
    },
  };
}

/**
 * What training starts from where it is neither drawn nor the encoder's: the values of `init`, with its head where that
 * answers the same.
 * @throws usage.value when `init` is of another method
 */
async function initialValues(
  { files, init, method: wanted }: TrainTaskOptions,
  model: Model,
  note: (text: string) => void,
): Promise<Map<string, Tensor>> {
  const values = new Map<string, Tensor>();
  const specs = trainableParameters(model);
  if (init === undefined) return values;
  const { method, tensors, head, notes } = await loadAdapter(files, init, { encoder: model.encoder, as: model.attachment.name });
  for (const text of notes) note(text);
  const shapes = new Map(specs.map(({ name, shape }) => [name, String(shape)]));
  const foreign = [...tensors].find(([name, { shape }]) => shapes.get(name) !== String(shape));
  if (foreign)
    fail({
      code: 'usage.value',
      subject: `--init ${init}`,
      found: `${foreign[0]} [${foreign[1].shape}], which ${model.attachment.text} does not have`,
      expected: 'an adapter of the method that is trained',
      next: `Give the method and settings of its adapter_config.json with --method.`,
    });
  const changed = Object.keys(method.config).filter((key) => JSON.stringify(method.config[key]) !== JSON.stringify(wanted.config[key]));
  if (changed.length) note(`The adapter in ${init} was made with other settings: ${changed.join(', ')}.`);
  const same = head && sameAnswers(head, model.heads[0] as Head);
  if (head && !same) note(`The head in ${init} answers other labels or has another form: a new one is trained.`);
  for (const [name, value] of [...tensors, ...(same ? head.tensors : [])]) values.set(name, value);
  return values;
}

/** Whether two heads have the same form and give the same label at every output; a head without names is taken at its word. */
function sameAnswers(head: Head, other: Head): boolean {
  const form = ({ config }: Head) => {
    const { label2id: _labels, dropout_prob: _dropout, ...rest } = config;
    return JSON.stringify(Object.entries(rest).sort());
  };
  const names = labelsOf(head);
  return form(head) === form(other) && (names.length === 0 || String(names) === String(labelsOf(other)));
}
