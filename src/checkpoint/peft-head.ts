import { asFloat32, float32, type Tensor } from '../base/tensor.ts';
import { type HeadConfig, headParameters } from '../objectives/index.ts';
import type { ModelFacts } from './facts.ts';
import type { HeadPackage } from './head.ts';

/** The fixed heads of transformers that PEFT saves with an adapter (`modules_to_save`), as flexible heads. */
interface FixedHead {
  readonly task: string;
  readonly type: HeadConfig['head_type'];
  readonly linears: readonly string[];
  readonly activation: string | null;
  readonly pooled: boolean;
}

function fixedHeads({ family: { classifier } }: ModelFacts): FixedHead[] {
  if (!classifier) return [];
  return [
    { task: 'SEQ_CLS', type: 'classification', ...classifier },
    { task: 'TOKEN_CLS', type: 'tagging', linears: ['classifier'], activation: null, pooled: false },
    { task: 'QUESTION_ANS', type: 'question_answering', linears: ['qa_outputs'], activation: null, pooled: false },
  ];
}

/** The head among the tensors of a PEFT file, and the keys it took; undefined where there is none that is known. */
export function readPeftHead(
  tensors: ReadonlyMap<string, Tensor>,
  task: string | undefined,
  encoder: ModelFacts,
  name: string,
  path: string,
): { head: HeadPackage; used: string[] } | undefined {
  const fixed = fixedHeads(encoder).find((one) => one.task === task);
  const last = fixed && tensors.get(`${fixed.linears.at(-1)}.weight`);
  if (!fixed || last?.shape.length !== 2 || last.shape[1] !== encoder.config.hidden) return undefined;
  const outputs = last.shape[0] as number;
  if (outputs === 0) return undefined;
  const config = configOf(fixed, outputs);
  const head = { name, config };
  const used: string[] = [];
  const found = new Map<string, Tensor>();
  for (const [i, spec] of headParameters(head, encoder.config.hidden).entries()) {
    const key = `${fixed.linears[Math.floor(i / 2)]}.${i % 2 ? 'bias' : 'weight'}`;
    const value = tensors.get(key);
    // PEFT leaves out linears that modules_to_save does not name; such a head is not whole.
    if (!value || String(value.shape) !== String(spec.shape)) return undefined;
    used.push(key);
    found.set(spec.name, float32(value.shape, asFloat32(value, `${path}: ${key}`)));
  }
  return { head: { ...head, tensors: found }, used };
}

function configOf({ type, linears, activation, pooled }: FixedHead, outputs: number): HeadConfig {
  const label2id = Object.fromEntries(Array.from({ length: outputs }, (_, i) => [`LABEL_${i}`, i]));
  return {
    head_type: type,
    num_labels: outputs,
    layers: linears.length,
    activation_function: activation,
    label2id,
    use_pooler: pooled,
    bias: true,
    dropout_prob: null,
  };
}

/** How transformers would hold this head, where it has its like. */
export function peftHead(
  head: HeadPackage,
  model: ModelFacts,
): { task: string; modules: string[]; tensors: Map<string, Tensor> } | undefined {
  const { head_type: type, layers, activation_function: activation, use_pooler: pooled, bias } = head.config;
  const fixed = fixedHeads(model).find(
    (one) => one.type === type && one.linears.length === layers && one.pooled === pooled && (layers === 1 || one.activation === activation),
  );
  if (!fixed || !bias) return undefined;
  const tensors = new Map<string, Tensor>();
  for (const [i, spec] of headParameters(head, model.config.hidden).entries())
    tensors.set(`${fixed.linears[Math.floor(i / 2)]}.${i % 2 ? 'bias' : 'weight'}`, head.tensors.get(spec.name) as Tensor);
  return { task: fixed.task, modules: [...new Set(fixed.linears.map((linear) => linear.split('.')[0] as string))], tensors };
}
