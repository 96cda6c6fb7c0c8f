import { fail, float32, type Tensor } from '../base/index.ts';
import {
  type Attachment,
  adaptersOf,
  attach,
  type Composition,
  describe,
  encoderFacts,
  fuse,
  fusionsOf,
  isFuse,
  mixedParameters,
  nameOf,
  type Placed,
  withoutLayers,
} from '../methods/index.ts';
import { untrainedValues } from '../model/start-values.ts';
import { headParameters } from '../objectives/index.ts';
import type { Answer } from '../predict/answer.ts';
import {
  type AdapterGroup,
  createMixedPredictor,
  type HeadGroup,
  type MixedPredictor,
  type RowAddress,
} from '../predict/mixed-predictor.ts';
import { ModuleStore } from '../predict/module-store.ts';
import type { Engine } from '../session/session.ts';
import { type AttachedHead, adapterTensors } from './attached.ts';
import { attachmentOf, BASE, fusionTensors, type ModelState, trainedSteps } from './model-state.ts';
import { missing, noHead, type PredictOptions, refuseSeveral } from './options.ts';
import { placeOf, rowsOfHeads } from './rows-of-heads.ts';

type Row = Readonly<Record<string, unknown>>;

/** What a prediction is asked with; `activeHeads`, which must be one, answer rows without an adapter, and in `skipLayers` nothing acts. */
interface MixedOptions extends PredictOptions {
  readonly activeHeads: readonly string[];
  readonly skipLayers: readonly number[];
}

/** What a row is answered by. */
interface Choice {
  readonly setup: Composition | undefined;
  readonly name: string;
  readonly head: AttachedHead;
}

/** Programs that are kept: each holds the encoder's weights once more, as the engine lays them out. */
const PROGRAMS = 4;

/**
 * Answers rows that each name their adapter. Those of one drawing are a group; their values lie side by side, and stay there from call
 * to call. A program is compiled for the groups that rows are of, whichever of the adapters of these they name.
 */
export class MixedModel {
  readonly #state: ModelState;
  readonly #adapters = new Map<string, AdapterGroup>();
  readonly #heads = new Map<string, HeadGroup>();
  readonly #programs = new Map<string, Promise<MixedPredictor>>();

  readonly #engine: () => Promise<Engine>;

  constructor(state: ModelState, engine: () => Promise<Engine>) {
    this.#state = state;
    this.#engine = engine;
  }

  /** @throws usage.value, adapter.missing, task.row, task.label, text.too-long naming the row */
  async predict(rows: readonly Row[], options: MixedOptions): Promise<Answer[]> {
    const choices = this.#choices(rows, options);
    if (rows.length === 0) return [];
    const groups = new Map<Choice, { readonly adapter: readonly [string, number] | undefined; readonly head: readonly [string, number] }>();
    for (const choice of new Set(choices))
      groups.set(choice, {
        adapter: choice.setup === undefined ? undefined : await this.#placeAdapter(choice.setup, options.skipLayers),
        head: await this.#placeHead(choice.head),
      });
    const all = [...groups.values()];
    const adapterKeys = [...new Set(all.flatMap(({ adapter }) => adapter?.[0] ?? []))].sort();
    const headKeys = [...new Set(all.map(({ head }) => head[0]))].sort();
    const addresses = choices.map((choice): RowAddress => {
      const { adapter, head } = groups.get(choice) as (typeof all)[number];
      const placed: Placed | undefined = adapter && { group: adapterKeys.indexOf(adapter[0]), slot: adapter[1] };
      return { adapter: placed, head: choice.head, headSlot: head[1] };
    });
    const asked = choices.map((choice) => ({ ...choice, task: headKeys.indexOf(groups.get(choice)?.head[0] as string) }));
    const { checked, units } = rowsOfHeads(this.#state, rows, asked, options);
    const bare = choices.some(({ setup }) => setup === undefined);
    const predictor = await this.#program(adapterKeys, headKeys, bare);
    return predictor.answers(checked, addresses, { units, tokenizer: this.#state.tokenizer }, options.onProgress);
  }

  async release(): Promise<void> {
    const programs = [...this.#programs.values()];
    this.#programs.clear();
    this.#adapters.clear();
    this.#heads.clear();
    for (const program of programs) await (await program).release();
  }

  /** One for each row; equal ones are the same object. */
  #choices(rows: readonly Row[], options: MixedOptions): Choice[] {
    const { adapterNames: names = [], headNames, activeHeads } = options;
    for (const [key, given] of [['adapterNames', names], ...(headNames ? ([['headNames', headNames]] as const) : [])] as const)
      if (!Array.isArray(given) || given.length !== rows.length)
        fail({
          code: 'usage.value',
          subject: `predict(rows, { ${key} })`,
          found: Array.isArray(given) ? `${given.length} names` : typeof given,
          expected: `${rows.length}, one for each row`,
        });
    if (options.explain)
      fail({ code: 'usage.value', subject: 'explain', found: 'rows that name their adapters', expected: 'an active fusion for all rows' });
    const known = new Map<string, Choice>();
    return rows.map((row, i) => {
      const { file, line } = placeOf(options)(i);
      const key = JSON.stringify([names[i], headNames?.[i] ?? null]);
      const choice = known.get(key) ?? this.#choice(names[i] as string | Composition, headNames?.[i], activeHeads, `${file}:${line}`);
      known.set(key, choice);
      if (row.adapter !== undefined && row.adapter !== choice.name)
        fail({
          code: 'adapter.missing',
          subject: `${file}:${line}, column "adapter"`,
          found: JSON.stringify(row.adapter),
          expected: `'${choice.name}', as adapterNames says`,
        });
      return choice;
    });
  }

  #choice(named: string | Composition, headName: string | undefined, activeHeads: readonly string[], subject: string): Choice {
    const { adapters, fusions, heads } = this.#state;
    const setup = named === BASE ? undefined : typeof named === 'string' && fusions.has(named) ? this.#fusion(named) : named;
    if (typeof setup === 'string' && !adapters.has(setup))
      missing(`${subject}: adapter`, setup, [...adapters.names, ...fusions.names, BASE]);
    for (const name of setup === undefined ? [] : adaptersOf(setup)) adapters.get(name);
    const name = setup === undefined ? BASE : nameOf(setup);
    if (setup === undefined && headName === undefined && activeHeads.length > 1) refuseSeveral(activeHeads);
    const own = headName ?? (setup === undefined ? activeHeads[0] : name);
    if (own === undefined || (headName === undefined && !heads.has(own)))
      return noHead(`${subject}: ${setup === undefined ? 'a row without an adapter' : `the adapter '${name}'`}`);
    return { setup, name, head: heads.get(own) };
  }

  #fusion(name: string): Composition {
    return fuse(this.#state.fusions.get(name).adapters, { name });
  }

  async #placeAdapter(setup: Composition, skipLayers: readonly number[]): Promise<readonly [group: string, slot: number]> {
    const { adapters, fusions, encoder } = this.#state;
    const [names, mixed] = [adaptersOf(setup), fusionsOf(setup).map(({ name }) => name)];
    const version = [...names.map((name) => adapters.get(name)), ...mixed.map((name) => fusions.get(name))];
    const key = JSON.stringify([
      shapeOf(setup, names, mixed),
      names.map((name) => [adapters.get(name).method.method.name, adapters.get(name).method.config]),
      mixed.map((name) => fusions.get(name).config),
      skipLayers,
    ]);
    const name = JSON.stringify(setup);
    const known = this.#adapters.get(key)?.store.find(name, version);
    if (known !== undefined) return [key, known];
    const attachment = withoutLayers(this.#attached(setup), skipLayers, encoder.config);
    if (attachment.rowFeeds || attachment.rows !== undefined)
      fail({
        code: 'usage.value',
        subject: `adapterNames: ${describe(setup)}`,
        found: 'a block that divides or repeats the rows of a batch',
        expected: 'for each row what answers it',
        next: 'Name the children row by row, or make the block active for the whole batch.',
      });
    const specs = mixedParameters(attachment);
    const group = this.#adapters.get(key) ?? { attachment, store: new ModuleStore(specs) };
    this.#adapters.set(key, group);
    const scalars = attachment.schedule?.(trainedSteps(this.#state, setup)) ?? {};
    const tensors = new Map(Object.entries(scalars).map(([scalar, value]) => [scalar, float32([], [value])] as const));
    for (const one of names) for (const [own, tensor] of await adapterTensors(one, adapters.get(one), encoder)) tensors.set(own, tensor);
    for (const one of mixed) for (const [own, tensor] of await fusionTensors(this.#state, one)) tensors.set(own, tensor);
    return [
      key,
      group.store.put(
        name,
        version,
        specs.map((spec) => tensors.get(spec.name) as Tensor),
      ),
    ];
  }

  #attached(setup: Composition): Attachment {
    const { adapters, encoder } = this.#state;
    return typeof setup === 'string'
      ? attach(adapters.get(setup).method, { ...encoderFacts(encoder), name: setup })
      : attachmentOf(this.#state, setup);
  }

  async #placeHead(head: AttachedHead): Promise<readonly [group: string, slot: number]> {
    const { kinds, encoder } = this.#state;
    const { label2id: _, ...config } = head.config;
    const key = JSON.stringify([head.kind.type, kinds.heads.indexOf(head.kind), config]);
    const known = this.#heads.get(key)?.store.find(head.name, [head]);
    if (known !== undefined) return [key, known];
    const specs = headParameters(head, encoder.config);
    const group = this.#heads.get(key) ?? { head, store: new ModuleStore(specs) };
    this.#heads.set(key, group);
    const tensors = head.tensors ?? new Map<string, Tensor>();
    const fresh = await untrainedValues(
      specs.filter(({ name }) => !tensors.has(name)),
      encoder,
    );
    return [
      key,
      group.store.put(
        head.name,
        [head],
        specs.map(({ name }) => (tensors.get(name) ?? fresh.get(name)) as Tensor),
      ),
    ];
  }

  async #program(adapterKeys: readonly string[], headKeys: readonly string[], bare: boolean): Promise<MixedPredictor> {
    const key = JSON.stringify([adapterKeys, headKeys, bare]);
    const adapters = adapterKeys.map((one) => this.#adapters.get(one) as AdapterGroup);
    const heads = headKeys.map((one) => this.#heads.get(one) as HeadGroup);
    const program = this.#programs.get(key) ?? createMixedPredictor(await this.#engine(), this.#state.encoder, { adapters, heads, bare });
    // What cannot be compiled is tried anew.
    program.catch(() => this.#programs.delete(key));
    // The last one used is the last one to go.
    this.#programs.delete(key);
    this.#programs.set(key, program);
    const [oldest] = this.#programs.keys();
    if (this.#programs.size > PROGRAMS && oldest !== undefined) {
      const left = this.#programs.get(oldest);
      this.#programs.delete(oldest);
      await (await left)?.release();
    }
    return program;
  }
}

/** A composition with numbers in place of names: those of one shape are drawn alike. */
function shapeOf(part: Composition, names: readonly string[], fusions: readonly string[]): unknown {
  if (typeof part === 'string') return names.indexOf(part);
  const children = part.children.map((child) => shapeOf(child, names, fusions));
  return { ...part, children, ...(isFuse(part) && { name: fusions.indexOf(part.name) }) };
}
