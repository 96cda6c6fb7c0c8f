import { baseName, type Files, fail, joinPath, list, shown, type Tensor } from '../base/index.ts';
import { type Json, pythonJson } from '../formats/json.ts';
import { bindAdapter, type ConfiguredMethod, encoderFacts, METHODS, methodOfConfig } from '../methods/index.ts';
import { asName, checkName } from './facts.ts';
import { stacksOf } from './fused.ts';
import type { AdapterPackage, LoadedAdapter, LoadingOptions } from './package.ts';
import { peftHead, readPeftHead } from './peft-head.ts';
import { matchTensors, readWeights, type WeightFormat, writeWeights } from './weights.ts';

const CONFIG = 'adapter_config.json';
const WEIGHTS = { bin: 'adapter_model.bin', safetensors: 'adapter_model.safetensors' };

export function isPeftConfig(raw: { [key: string]: Json }): boolean {
  return Object.hasOwn(raw, 'peft_type');
}

export async function removePeft(files: Files, folder: string): Promise<void> {
  for (const name of Object.values(WEIGHTS)) await files.remove(joinPath(folder, name));
}

/**
 * Reads a folder of PEFT by the layout of the method that its `peft_type` names.
 * @throws adapter.format naming the field or tensor that cannot be expressed, adapter.mismatch
 */
export async function loadPeft(
  files: Files,
  folder: string,
  raw: { [key: string]: Json },
  { encoder, as, head: withHead, methods = METHODS, headKinds }: LoadingOptions,
): Promise<LoadedAdapter> {
  const path = joinPath(folder, CONFIG);
  const keeper = methods.find(({ peft }) => peft?.type === raw.peft_type);
  if (!keeper?.peft)
    return fail({
      code: 'adapter.format',
      subject: `${path}: field 'peft_type'`,
      found: shown(raw.peft_type),
      expected: methods.flatMap(({ peft }) => (peft ? [`'${peft.type}'`] : [])).join(', '),
      next: 'Other adapters of PEFT cannot be read.',
    });
  const name = checkName(as ?? asName(baseName(folder)), `${path}: field 'name'`, 'Load it under another name.');
  const weights = await readWeights(files, folder, WEIGHTS);
  const tensors = new Map([...weights.tensors].map(([key, value]) => [key.replace(/^base_model\.(?:model\.)?/, ''), value]));
  const context = { ...encoderFacts(encoder), name };
  const peftFolder = { raw, path, tensors, weights: weights.path, model: encoder.name };
  const reading = keeper.peft.read(peftFolder, context);
  const task = typeof raw.task_type === 'string' ? raw.task_type : undefined;
  const head = withHead === false ? undefined : readPeftHead(reading.rest, task, encoder, name, weights.path, headKinds);
  const rest = new Map([...reading.rest].filter(([key]) => !head?.used.includes(key)));
  const main = { architecture: keeper.architecture, ...reading.config };
  const beside = methods.flatMap((other) => {
    const found = other.peftBeside?.read(rest, peftFolder, context);
    return found ? [{ ...found, config: { architecture: other.architecture, ...found.config } }] : [];
  });
  const config = beside.length > 0 ? { architecture: 'union', configs: [main, ...beside.map((one) => one.config)] } : main;
  const method = methodOfConfig(config, path, { methods });
  const found = new Map([reading, ...beside].flatMap((one) => [...one.tensors]));
  const matched = matchTensors(found, bindAdapter(method, context).parameters, {
    path: weights.path,
    prefix: encoder.family.prefix,
    owner: `the adapter '${name}'`,
    groups: encoder.config.groups,
  });
  const ignored = beside.reduce((left, one) => left.filter((key) => one.rest.has(key)), [...rest.keys()]);
  const notes = ignored.length ? [`Not part of the adapter '${name}', ignored: ${list(ignored)}.`] : [];
  return {
    name,
    method,
    tensors: matched.tensors,
    model: encoder,
    layout: 'peft',
    notes: [...reading.notes, ...notes, ...matched.notes],
    ...(head && { head: head.head }),
  };
}

/**
 * Writes a folder of PEFT, the config last. A head that transformers has too goes into the same file, so that Python's
 * AutoModelFor… classes find it; head_config.json beside it keeps every head for this package.
 */
export async function savePeft(files: Files, folder: string, adapter: AdapterPackage, format: WeightFormat): Promise<void> {
  const { model, name, method } = adapter;
  const { prefix } = model.family;
  const context = { ...encoderFacts(model), name };
  const members = method.method.members?.of(method.config) ?? [method];
  const main = members.find((member) => !member.method.peftBeside) ?? method;
  const { peft } = main.method;
  if (!peft)
    return fail({ code: 'adapter.format', subject: `method ${method.text}`, found: 'no form in PEFT', expected: 'the layout adapters' });
  const parts = [
    ...stacksOf(
      [...adapter.tensors.keys()].map((one) => ({ name: one })),
      model,
    ).values(),
  ].flat();
  if (parts.length > 0)
    fail({
      code: 'adapter.format',
      subject: `adapter '${name}'`,
      found: list(parts.map((part) => part.name)),
      expected: 'modules in whole matrices: PEFT has none for a part of one',
      next: 'Save it in the layout adapters.',
    });
  const head = adapter.head && peftHead(adapter.head, model);
  const tensorsOf = (member: ConfiguredMethod) =>
    new Map(bindAdapter(member, context).parameters.map((spec) => [spec.name, adapter.tensors.get(spec.name) as Tensor]));
  const { fields, tensors, beside } = peft.write(main.config, tensorsOf(main), context);
  const saved = members.flatMap((member) => member.method.peftBeside?.write(member.config, tensorsOf(member), context) ?? []);
  const all = new Map<string, Tensor>();
  // A model with a head holds the encoder under its prefix, a bare encoder does not.
  for (const [key, value] of [tensors, ...saved.map((one) => one.tensors)].flatMap((one) => [...one]))
    all.set(`base_model.model.${head ? key : key.slice(prefix.length)}`, value);
  for (const [key, value] of beside ?? []) all.set(`base_model.${key}`, value);
  for (const [key, value] of head?.tensors ?? []) all.set(`base_model.model.${key}`, value);
  await writeWeights(files, folder, WEIGHTS, format, all);
  const modules = [...(head?.modules ?? []), ...saved.flatMap((one) => one.modules)];
  const config = {
    auto_mapping: null,
    base_model_name_or_path: model.name,
    inference_mode: true,
    modules_to_save: modules.length > 0 ? modules : null,
    peft_type: peft.type,
    revision: null,
    task_type: head?.task ?? null,
    ...fields,
  };
  const sorted = Object.fromEntries(Object.entries(config).toSorted(([a], [b]) => (a < b ? -1 : 1)));
  await files.write(joinPath(folder, CONFIG), pythonJson(sorted, { floatKeys: ['lora_dropout'] }));
}
