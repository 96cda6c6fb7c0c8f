import { fail, list, shown, type Tensor } from '../base/index.ts';
import type { EncoderConfig } from '../encoders/index.ts';
import type { Json } from '../formats/json.ts';
import { createHead, type FixedHead, HEAD_KINDS, type Head, type HeadKind, headParameters } from '../objectives/index.ts';
import type { ModelFacts } from './facts.ts';

/** The parameters of a head, and its word table, by where they lie in one of transformers' own. */
export function fixedKeys(fixed: FixedHead, head: Head, encoder: EncoderConfig): Map<string, string> {
  const words = head.kind.wordTable?.(head);
  const names = [...headParameters(head, encoder).map(({ name }) => name), ...(words === undefined ? [] : [words])];
  const moduleOf = (name: string) => name.slice(0, name.lastIndexOf('.'));
  const modules = [...new Set(names.map(moduleOf))];
  return new Map(names.map((name) => [`${fixed.modules[modules.indexOf(moduleOf(name))]}${name.slice(name.lastIndexOf('.'))}`, name]));
}

/** A head of a number of outputs, and names for them, in the form of one of transformers' own. @throws head.config */
export function likeFixed(
  { settings, outputs }: FixedHead,
  type: string,
  count: number,
  label2id: unknown,
  place: { readonly name: string; readonly path: string; readonly kinds: readonly HeadKind[] },
): Head {
  const config = { head_type: type, ...settings, ...(outputs !== undefined && { [outputs]: count, label2id }) };
  return createHead(place.name, config, place.path, place.kinds);
}

/** LABEL_0, LABEL_1 and so on, as transformers calls outputs that nobody named. */
export function unnamedLabels(count: number): Record<string, number> {
  return Object.fromEntries(Array.from({ length: count }, (_, i) => [`LABEL_${i}`, i]));
}

/**
 * The head of a model that `adapters.init` adapted in place, which has no configuration: `model_class` says what it is. It becomes the
 * one that Python's AdapterModel classes make of it, and its tensors get the names of that.
 * @throws head.config for a class that has no such like
 */
export function readFixedHead(
  raw: Readonly<Record<string, Json>>,
  found: ReadonlyMap<string, Tensor>,
  { family, config }: ModelFacts,
  name: string,
  path: string,
  kinds: readonly HeadKind[] = HEAD_KINDS,
): { readonly head: Head; readonly tensors: Map<string, Tensor> } {
  const likes = kinds.flatMap((kind) => {
    const fixed = kind.fixed?.(family, config);
    return fixed ? [{ type: kind.type, fixed, className: `${family.python}For${fixed.className}` }] : [];
  });
  const like = likes.find(({ className }) => className === raw.model_class);
  if (!like)
    return fail({
      code: 'head.config',
      subject: path,
      found: `the fixed head of a ${shown(raw.model_class)}`,
      expected: likes.length > 0 ? list([...new Set(likes.map(({ className }) => className))], 8) : 'a head of an AdapterModel class',
      next: 'Load the adapter without its head.',
    });
  const { fixed, type } = like;
  const { num_labels: stored, label2id = null } = raw;
  const labels = typeof label2id === 'object' && label2id !== null ? label2id : undefined;
  const count = stored ?? (labels ? Object.keys(labels).length : 2);
  if (typeof count !== 'number')
    return fail({ code: 'head.config', subject: `${path}: field 'num_labels'`, found: shown(count), expected: 'a number' });
  const head = likeFixed(fixed, type, count, labels ?? unnamedLabels(Math.min(count, 2)), { name, path, kinds });
  const keys = fixedKeys(fixed, head, config);
  const tensors = new Map([...found].map(([key, value]) => [keys.get(key) ?? key, value]));
  const bias = keys.get(`${fixed.modules.at(-1)}.bias`);
  const twin = fixed.bias === undefined ? undefined : tensors.get(fixed.bias);
  if (fixed.bias !== undefined && bias !== undefined && twin && String(twin.data) === String(tensors.get(bias)?.data))
    tensors.delete(fixed.bias);
  return { head, tensors };
}
