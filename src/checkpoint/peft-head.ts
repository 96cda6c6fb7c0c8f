import { asFloat32, float32, type Tensor } from '../base/index.ts';
import { createHead, type FixedHead, HEAD_KINDS, type HeadKind, headParameters } from '../objectives/index.ts';
import type { ModelFacts } from './facts.ts';
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
  const found = kinds.map((kind) => ({ kind, fixed: kind.fixed?.(encoder.family) })).find(({ fixed }) => fixed && fixed.task === task);
  const fixed = found?.fixed;
  const last = fixed && tensors.get(`${fixed.linears.at(-1)}.weight`);
  if (!fixed || last?.shape.length !== 2 || last.shape[1] !== encoder.config.hidden) return undefined;
  const outputs = last.shape[0] as number;
  if (outputs === 0) return undefined;
  const head = createHead(name, { head_type: found.kind.type, ...fieldsOf(fixed, outputs) }, path, kinds);
  const used: string[] = [];
  const values = new Map<string, Tensor>();
  for (const [i, spec] of headParameters(head, encoder.config).entries()) {
    const key = keyOf(fixed, i);
    const value = tensors.get(key);
    // PEFT leaves out linears that modules_to_save does not name; such a head is not whole.
    if (!value || String(value.shape) !== String(spec.shape)) return undefined;
    used.push(key);
    values.set(spec.name, float32(value.shape, asFloat32(value, `${path}: ${key}`)));
  }
  return { head: { ...head, tensors: values }, used };
}

function fieldsOf({ linears, activation, pooled }: FixedHead, outputs: number): Record<string, unknown> {
  const label2id = Object.fromEntries(Array.from({ length: outputs }, (_, i) => [`LABEL_${i}`, i]));
  return { num_labels: outputs, layers: linears.length, activation_function: activation, label2id, use_pooler: pooled };
}

/** The key of the i-th parameter: weight and bias of each linear in turn. */
function keyOf({ linears }: FixedHead, i: number): string {
  return `${linears[Math.floor(i / 2)]}.${i % 2 ? 'bias' : 'weight'}`;
}

/** How transformers would hold this head, where it has its like. */
export function peftHead(
  head: HeadPackage,
  model: ModelFacts,
): { task: string; modules: string[]; tensors: Map<string, Tensor> } | undefined {
  const fixed = head.kind.fixed?.(model.family);
  const { layers, activation_function: activation, use_pooler: pooled, bias } = head.config;
  const alike =
    fixed && fixed.linears.length === layers && fixed.pooled === pooled && (layers === 1 || fixed.activation === activation) && bias;
  if (!alike) return undefined;
  const tensors = new Map<string, Tensor>();
  for (const [i, spec] of headParameters(head, model.config).entries()) tensors.set(keyOf(fixed, i), head.tensors.get(spec.name) as Tensor);
  return { task: fixed.task, modules: [...new Set(fixed.linears.map((linear) => linear.split('.')[0] as string))], tensors };
}
