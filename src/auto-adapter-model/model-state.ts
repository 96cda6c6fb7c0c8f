import { type Files, fail, type Tensor } from '../base/index.ts';
import { type FusionFacts, fusionSpecs } from '../checkpoint/index.ts';
import type { Encoder } from '../encoders/index.ts';
import {
  type Attachment,
  adaptersOf,
  attach,
  attachComposition,
  type Block,
  bindAdapter,
  blockKind,
  type Composition,
  configureMethod,
  encoderFacts,
  type FusionConfig,
  fusionsOf,
  lastBlockOf,
  nameOf,
  withoutLayers,
} from '../methods/index.ts';
import type { Model } from '../model/model.ts';
import { untrainedValues } from '../model/start-values.ts';
import { sequenceLength } from '../model/task-setup.ts';
import type { Head } from '../objectives/index.ts';
import type { Tokenizer } from '../text/index.ts';
import { type Attached, type AttachedFusion, type AttachedHead, adapterTensors } from './attached.ts';
import type { Kinds } from './extensions.ts';
import type { Named } from './named.ts';

/** An encoder, and all that is attached to it by name. */
export interface ModelState {
  readonly files: Files;
  readonly kinds: Kinds;
  readonly encoder: Encoder;
  readonly tokenizer: Tokenizer;
  readonly adapters: Named<Attached>;
  readonly fusions: Named<AttachedFusion>;
  readonly heads: Named<AttachedHead>;
}

interface ModelOptions {
  readonly trainAdapters?: boolean;
  readonly masked?: boolean;
  /** Layers in which nothing is attached. */
  readonly skipLayers?: readonly number[];
}

/** A setup with its heads, ready to be drawn; without a setup, the bare encoder. @throws adapter.missing, method.config */
export async function modelOf(
  state: ModelState,
  setup: Composition | undefined,
  heads: readonly Head[],
  { trainAdapters = false, masked = false, skipLayers = [] }: ModelOptions = {},
): Promise<Model> {
  const { encoder, adapters } = state;
  if (setup === undefined || typeof setup === 'string') {
    const method = setup === undefined ? configureMethod('head') : adapters.get(setup).method;
    const attachment = attach(method, { ...encoderFacts(encoder), name: setup ?? '' });
    return { encoder, attachment: withoutLayers(attachment, skipLayers, encoder.config), heads };
  }
  const attachment = withoutLayers(attachmentOf(state, setup, { trainAdapters, masked }), skipLayers, encoder.config);
  const names = trainAdapters ? [] : adaptersOf(setup);
  const frozen = await Promise.all(names.map((name) => adapterTensors(name, adapters.get(name), encoder)));
  return { encoder, attachment, heads, frozen: new Map(frozen.flatMap((tensors) => [...tensors])) };
}

/** @throws adapter.missing, method.config for adapters that cannot be put together */
export function attachmentOf(
  { encoder, adapters, fusions, kinds }: Pick<ModelState, 'encoder' | 'adapters' | 'fusions' | 'kinds'>,
  setup: Block,
  {
    trainAdapters = false,
    masked = false,
    fresh = new Map(),
  }: { readonly trainAdapters?: boolean; readonly masked?: boolean; readonly fresh?: ReadonlyMap<string, FusionConfig> } = {},
): Attachment {
  const parts = {
    adapters: new Map(adaptersOf(setup).map((name) => [name, adapters.get(name).method])),
    fusions: new Map(fusionsOf(setup).map(({ name }) => [name, fresh.get(name) ?? fusions.get(name).config])),
    trainAdapters,
    masked,
    blocks: kinds.blocks,
  };
  return attachComposition(setup, parts, encoderFacts(encoder));
}

/** No adapter: the encoder as it is. */
export const BASE = '__base__';

/** The head of a setup's name, or those of the children that answer by themselves, where they are all there. */
export function headsOf({ heads, kinds }: Pick<ModelState, 'heads' | 'kinds'>, setup: Composition): readonly string[] | undefined {
  const last = lastBlockOf(setup);
  const names = last && blockKind(last, kinds.blocks).heads ? last.children.map(nameOf) : [nameOf(setup)];
  return names.every((name) => heads.has(name)) ? names : undefined;
}

/** Tokens per sequence for a head: those of its training where nothing else is asked for. @throws usage.value */
export function tokensFor({ encoder, tokenizer }: ModelState, { kind, training }: AttachedHead, asked: number | undefined): number {
  return sequenceLength(encoder, tokenizer, asked, kind.task, training?.maxLength ?? kind.usualLength);
}

/** What was trained or loaded of a setup and its heads. */
export function trainedValues(
  state: ModelState,
  setup: Composition | undefined,
  heads: readonly AttachedHead[],
): ReadonlyMap<string, Tensor> {
  const [names, blocks] = setup === undefined ? [[], []] : [adaptersOf(setup), fusionsOf(setup)];
  const tensors = [
    ...names.map((name) => state.adapters.get(name).tensors),
    ...blocks.map((fuse) => trainedFusion(state, fuse.name)),
    ...heads.map(({ tensors }) => tensors),
  ];
  return new Map(tensors.flatMap((part) => [...(part ?? [])]));
}

/** How many steps the fusions of a setup were trained, for their temperature. */
export function trainedSteps({ fusions }: ModelState, setup: Composition | undefined): number {
  const warm = setup === undefined ? undefined : fusionsOf(setup).find(({ name }) => fusions.get(name).config.temperature);
  return warm === undefined ? 0 : (fusions.get(warm.name).steps ?? 0);
}

/** @throws adapter.missing */
export function fusionFacts({ encoder, adapters, fusions }: ModelState, name: string, mixed = fusions.get(name).adapters): FusionFacts {
  const methods = new Map(mixed.map((adapter) => [adapter, adapters.get(adapter).method]));
  return { name, adapters: methods, config: fusions.get(name).config, model: encoder };
}

/** A fusion's tensors by full name: first values where it has none yet. @throws method.config when its adapters were replaced by others elsewhere */
export async function fusionTensors(state: ModelState, name: string): Promise<ReadonlyMap<string, Tensor>> {
  return trainedFusion(state, name) ?? untrainedValues(fusionSpecs(fusionFacts(state, name)), state.encoder);
}

/** @throws method.config when its adapters were replaced by others elsewhere */
function trainedFusion(state: ModelState, name: string): ReadonlyMap<string, Tensor> | undefined {
  const { tensors, adapters } = state.fusions.get(name);
  if (!tensors) return undefined;
  const specs = fusionSpecs(fusionFacts(state, name));
  if (specs.some((spec) => !tensors.has(spec.name)))
    fail({
      code: 'method.config',
      subject: `the fusion '${name}'`,
      found: `other places of ${adapters.join(', ')} than when it was trained`,
      expected: 'the adapters that it was made for',
      next: 'Load them again, or add the fusion anew.',
    });
  return tensors;
}

/** Gives trained tensors to the adapters and fusions that they belong to, all at once. */
export async function keepTrained(
  state: ModelState,
  setup: Composition,
  parameters: ReadonlyMap<string, Tensor>,
  { steps }: { readonly steps: number },
): Promise<void> {
  const { adapters, fusions, encoder } = state;
  const mixed = await Promise.all(fusionsOf(setup).map(async ({ name }) => ({ name, before: await fusionTensors(state, name) })));
  for (const name of adaptersOf(setup)) {
    const adapter = adapters.get(name);
    const specs = bindAdapter(adapter.method, { ...encoderFacts(encoder), name }).parameters;
    const tensors = new Map(specs.flatMap(({ name: key }) => (parameters.has(key) ? [[key, parameters.get(key) as Tensor] as const] : [])));
    if (tensors.size > 0) adapters.set(name, { ...adapter, tensors });
  }
  for (const { name, before } of mixed) {
    const tensors = new Map([...before].map(([key, value]) => [key, parameters.get(key) ?? value]));
    fusions.set(name, { ...fusions.get(name), tensors, steps });
  }
}

/** Two things of one name would share their head. @throws adapter.duplicate */
export function refuseTaken(
  { adapters, fusions }: Pick<ModelState, 'adapters' | 'fusions'>,
  what: 'adapter' | 'fusion',
  name: string,
): void {
  const other = what === 'fusion' ? 'adapter' : 'fusion';
  if (!(what === 'fusion' ? adapters : fusions).has(name)) return;
  fail({
    code: 'adapter.duplicate',
    subject: `${what} '${name}'`,
    found: `${other === 'adapter' ? 'an' : 'a'} ${other} of that name`,
    expected: 'a name of its own: the head of that name would serve both',
    next: `Choose another name, such as '${name}-${what}'.`,
  });
}
