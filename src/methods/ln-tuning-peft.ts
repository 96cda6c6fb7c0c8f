import { fail, list, shown, type Tensor } from '../base/index.ts';
import { encoderNorms, encoderSpecs } from '../encoders/index.ts';
import type { MethodContext } from './context.ts';
import { COMMON_FIELDS, isSet, type PeftFolder, type PeftLayout } from './peft-layout.ts';

const MODULE = 'ln_tuning_layers';

/** Full name of the copy of a norm, without `.weight`. */
export function lnTuningPath(norm: string, { name }: MethodContext): string {
  return `${norm}.${MODULE}.${name}`;
}

/** LayerNorm tuning as PEFT keeps it. Which norms it has is taken from the weights, so every way to name targets is understood. */
export const LN_TUNING_PEFT: PeftLayout = {
  type: 'LN_TUNING',
  read(folder, context) {
    checkFields(folder);
    const { encoder, family } = context;
    const norms = encoderNorms(family, encoder).map(({ path }) => path);
    const tensors = new Map<string, Tensor>();
    const rest = new Map<string, Tensor>();
    const copied = new Set<string>();
    for (const [key, value] of folder.tensors) {
      const [, module, part] = /^(.*)\.ln_tuning_layers\.(weight|bias)$/.exec(key) ?? [];
      if (module === undefined) {
        if (key.includes(`.${MODULE}.`) || key.includes('.base_layer.')) refuse(folder, key, 'neither gain nor bias', 'the two of a norm');
        rest.set(key, value);
        continue;
      }
      const norm = norms.find((path) => path === module || path === family.prefix + module) ?? refuseModule(folder, module, context);
      if (tensors.has(`${lnTuningPath(norm, context)}.${part}`)) refuse(folder, key, 'one copy of a norm more', 'one');
      copied.add(norm);
      tensors.set(`${lnTuningPath(norm, context)}.${part}`, value);
    }
    if (copied.size === 0)
      fail({
        code: 'adapter.format',
        subject: folder.weights,
        found: `no copy of a layer norm${rest.size ? `, but ${list([...rest.keys()], 4)}` : ''}`,
        expected: 'at least one',
      });
    const targets = norms.filter((path) => copied.has(path)).map((path) => path.slice(family.prefix.length));
    return { config: { target_modules: targets.length === norms.length ? null : targets }, tensors, rest, notes: [] };
  },
  write(_config, tensors, { family: { prefix }, name }) {
    const written = new Map<string, Tensor>();
    const targets = new Set<string>();
    for (const [key, value] of tensors) {
      const [norm = '', part] = key.split(`.${MODULE}.${name}.`);
      targets.add(norm.slice(prefix.length));
      written.set(`${norm}.${MODULE}.${part}`, value);
    }
    // Whole names: 'output.LayerNorm' alone would also be the end of 'attention.output.LayerNorm'.
    return { fields: { exclude_modules: null, target_modules: [...targets] }, tensors: written };
  },
};

/** @throws adapter.format for a field that PEFT does not have today: it may change what is computed */
function checkFields({ raw, path }: PeftFolder): void {
  const other = Object.keys(raw).find((key) => !COMMON_FIELDS.includes(key) && isSet(raw[key]));
  if (other !== undefined)
    fail({ code: 'adapter.format', subject: `${path}: field '${other}'`, found: shown(raw[other]), expected: 'a plain LayerNorm tuning' });
}

/** @throws adapter.format for a module that is no norm, adapter.mismatch for one that the encoder does not have */
function refuseModule(folder: PeftFolder, module: string, { encoder, family }: MethodContext): never {
  const { model, weights } = folder;
  const expected = `one of the layer norms of ${model}`;
  const names = new Set(encoderSpecs(family, encoder).map(({ name }) => name));
  if (names.has(`${module}.weight`) || names.has(`${family.prefix}${module}.weight`))
    return refuse(folder, module, 'a module that is no layer norm', expected);
  return fail({
    code: 'adapter.mismatch',
    subject: `${weights}: ${module}`,
    found: 'a module that the encoder does not have',
    expected,
    next: 'Load the encoder it was made for.',
  });
}

function refuse({ weights }: PeftFolder, key: string, found: string, expected: string): never {
  return fail({ code: 'adapter.format', subject: `${weights}: ${key}`, found, expected });
}
