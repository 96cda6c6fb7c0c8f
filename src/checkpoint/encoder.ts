import { type Files, fail, joinPath, type Tensor } from '../base/index.ts';
import type { Encoder } from '../encoders/index.ts';
import { pythonJson } from '../formats/json.ts';
import { writeSafetensors } from '../formats/safetensors.ts';

/** Numbers of encoder configs that Python keeps as floats. */
const FLOATS = [
  'hidden_dropout_prob',
  'attention_probs_dropout_prob',
  'classifier_dropout',
  'classifier_dropout_prob',
  'dropout',
  'attention_dropout',
  'qa_dropout',
  'seq_classif_dropout',
  'initializer_range',
  'layer_norm_eps',
];

/**
 * Writes a whole encoder that transformers loads: config.json last, and model.safetensors with `tensors` in place of the
 * weights of the same names, all float32. The name it had is left out: it is another encoder now, called as its folder.
 * Tokenizer files are the caller's to copy.
 * @throws encoder.weights for a tensor that the encoder does not have or has with another shape
 */
export async function saveEncoder(files: Files, folder: string, encoder: Encoder, tensors: ReadonlyMap<string, Tensor>): Promise<void> {
  for (const [name, { shape }] of tensors) {
    const original = encoder.weights.get(name)?.shape;
    if (String(original) !== String(shape))
      fail({
        code: 'encoder.weights',
        subject: `${name} of ${encoder.name}`,
        found: `[${shape}]`,
        expected: original ? `[${original}]` : 'a tensor of the encoder',
      });
  }
  const all: [string, Tensor][] = [];
  for (const [name, weight] of encoder.weights) all.push([name, tensors.get(name) ?? (await weight.read())]);
  await files.write(joinPath(folder, 'model.safetensors'), writeSafetensors(all, { format: 'pt' }));
  const { torch_dtype: _old, dtype: _new, _name_or_path: _before, ...fields } = encoder.fields;
  await files.write(joinPath(folder, 'config.json'), pythonJson(fields, { floatKeys: FLOATS }));
}
