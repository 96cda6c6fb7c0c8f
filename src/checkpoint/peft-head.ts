import { asFloat32, float32, type Tensor } from '../base/index.ts';
import { isJsonObject } from '../formats/json.ts';
import { CLASSIFICATION, HEAD_KINDS, type HeadKind, headParameters, MULTILABEL } from '../objectives/index.ts';
import type { ModelFacts } from './facts.ts';
import { fixedKeys, likeFixed, unnamedLabels } from './fixed-head.ts';
import type { HeadPackage } from './head.ts';

/** The head among the tensors of a PEFT file, and the keys it took; undefined where there is none that is known. */
export function readPeftHead(
  tensors: ReadonlyMap<string, Tensor>,
  task: string | undefined,
  encoder: ModelFacts,
  name: string,
  path: string,
  kinds: readonly HeadKind[] = HEAD_KINDS,
): { head: HeadPackage; used: string[] } | undefined {
  const like = kinds
    .map((kind) => ({ kind, fixed: kind.fixed?.(encoder.family, encoder.config) }))
    .find(({ fixed }) => fixed?.task === task);
  const fixed = task === undefined ? undefined : like?.fixed;
  const last = fixed && tensors.get(`${fixed.modules.at(-1)}.weight`);
  if (!fixed || last?.shape.length !== 2 || last.shape[1] !== encoder.config.hidden) return undefined;
  const outputs = last.shape[0] as number;
  if (outputs === 0) return undefined;
  const head = likeFixed(fixed, typeOf(like?.kind.type as string, encoder), outputs, labelsIn(encoder, outputs), { name, path, kinds });
  const keys = new Map([...fixedKeys(fixed, head, encoder.config)].map(([key, parameter]) => [parameter, key]));
  const used: string[] = [];
  const values = new Map<string, Tensor>();
  for (const spec of headParameters(head, encoder.config)) {
    const key = keys.get(spec.name) as string;
    const value = tensors.get(key);
    // PEFT leaves out linears that modules_to_save does not name; such a head is not whole.
    if (!value || String(value.shape) !== String(spec.shape)) return undefined;
    used.push(key);
    values.set(spec.name, float32(value.shape, asFloat32(value, `${path}: ${key}`)));
  }
  return { head: { ...head, tensors: values }, used };
}

/** PEFT's file does not say how many labels a row may have: transformers asks config.json. */
function typeOf(type: string, { fields = {} }: ModelFacts): string {
  return type === CLASSIFICATION.type && fields.problem_type === 'multi_label_classification' ? MULTILABEL.type : type;
}

/** The names of outputs in config.json, which PEFT's file leaves to it; LABEL_0 and so on where it has another number of them. */
function labelsIn({ fields = {} }: ModelFacts, outputs: number): Record<string, number> {
  const { id2label } = fields;
  const names = Array.from({ length: outputs }, (_, i) => (isJsonObject(id2label) ? id2label[String(i)] : undefined));
  const named = names.every((one): one is string => typeof one === 'string') && new Set(names).size === outputs;
  const fits = named && isJsonObject(id2label) && Object.keys(id2label).length === outputs;
  return fits ? Object.fromEntries(names.map((label, i) => [label, i])) : unnamedLabels(outputs);
}

/** How transformers would hold this head, where it has its like. */
export function peftHead(
  head: HeadPackage,
  model: ModelFacts,
): { task: string; modules: string[]; tensors: Map<string, Tensor> } | undefined {
  const fixed = head.kind.fixed?.(model.family, model.config);
  const { layers, bias } = head.config;
  // What stands between linears counts where there are several.
  const alike =
    fixed?.task !== undefined &&
    bias &&
    Object.entries(fixed.settings).every(([key, value]) => head.config[key] === value || (key === 'activation_function' && layers === 1));
  if (!fixed || !alike) return undefined;
  const tensors = new Map([...fixedKeys(fixed, head, model.config)].map(([key, name]) => [key, head.tensors.get(name) as Tensor]));
  return { task: fixed.task as string, modules: [...new Set(fixed.modules.map((path) => path.split('.')[0] as string))], tensors };
}
