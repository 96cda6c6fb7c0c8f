import { elementCount } from '../base/tensor.ts';
import {
  configFields,
  drawEncoder,
  type EncoderConfig,
  type EncoderFamily,
  encoderShapes,
  FAMILIES,
  type Graft,
} from '../encoders/index.ts';
import { type ConfiguredMethod, configureMethod, METHODS, type MethodConfig } from '../methods/index.ts';
import { noDropout, parameters } from '../nn/index.ts';

/** A ready configuration of a method, on a BERT of the base size (12 layers, 768 hidden units). */
export interface Built {
  /** Its names; the later ones are older names of the same. */
  readonly names: readonly string[];
  readonly config: MethodConfig;
  readonly parameters: number;
  /** Where it acts: linears by name, and the add-and-norms after attention and feed-forward. */
  readonly sites: readonly string[];
}

export interface MethodEntry {
  readonly name: string;
  readonly summary: string;
  readonly paper: string;
  readonly learningRate: number;
  readonly presets: readonly Built[];
}

export interface EncoderEntry {
  readonly name: string;
  /** The sizes that hold where a config.json leaves them out. */
  readonly defaults: EncoderConfig;
  readonly parameters: number;
  readonly pooler: boolean;
  /** Whether positions count real tokens from the padding id on. */
  readonly positionsAfterPad: boolean;
  readonly pythonClass: string;
}

/** Every method with its ready configurations. */
export function describeMethods(): MethodEntry[] {
  return METHODS.map((method) => {
    const groups = new Map<string, string[]>();
    for (const [name, preset] of Object.entries(method.presets)) {
      const key = JSON.stringify(preset);
      groups.set(key, [...(groups.get(key) ?? []), name]);
    }
    const { name, summary, paper, learningRate } = method;
    return { name, summary, paper, learningRate, presets: [...groups.values()].map((names) => build(names)) };
  });
}

/** Every encoder family. */
export function describeEncoders(): EncoderEntry[] {
  return FAMILIES.map((family) => {
    const defaults = family.config(configFields({}, family.name));
    return {
      name: family.name,
      defaults,
      parameters: countOf(encoderShapes(family, defaults).values()),
      pooler: family.pooler,
      positionsAfterPad: family.positionsAfterPad,
      pythonClass: `${family.python}AdapterModel`,
    };
  });
}

function build(names: readonly string[]): Built {
  const configured = configureMethod(names[0] as string);
  const { method, config } = configured;
  const family = FAMILIES[0] as EncoderFamily;
  const encoder = family.config(configFields({}, family.name));
  const own = countOf(method.parameters(config, { encoder, family, name: 'x' }).map(({ shape }) => shape));
  const all = method.trainsEncoder ? countOf(encoderShapes(family, encoder).values()) : 0;
  return { names, config, parameters: own + all, sites: method.trainsEncoder ? ['every weight'] : sitesOf(configured, family, encoder) };
}

/** The sites at which a method asks for parameters of its own, found by drawing an encoder with it. */
function sitesOf({ method, config }: ConfiguredMethod, family: EncoderFamily, encoder: EncoderConfig): string[] {
  const seen = new Set<string>();
  const [own, frozen] = [parameters(() => true), parameters(() => false)];
  let asked = 0;
  const count: typeof own = (name, shape) => {
    asked++;
    return own(name, shape);
  };
  const graft = method.graft(config, { encoder, family, name: 'x' }, count, noDropout);
  const watch = <S, V>(act: ((site: S) => V) | undefined, label: (site: S) => string) =>
    act &&
    ((site: S): V => {
      const before = asked;
      const value = act(site);
      if (asked > before) seen.add(label(site));
      return value;
    });
  const linear = watch(graft.linear?.bind(graft), ({ name }) => name);
  const addNorm = watch(graft.addNorm?.bind(graft), ({ place }) =>
    place === 'attention' ? 'add-and-norm after attention' : 'add-and-norm after feed-forward',
  );
  const watched: Graft = { ...(linear && { linear }), ...(addNorm && { addNorm }) };
  drawEncoder({ config: encoder, family, parameters: frozen, dropout: noDropout, graft: watched, read: 'all' });
  return [...seen];
}

function countOf(shapes: Iterable<readonly number[]>): number {
  let sum = 0;
  for (const shape of shapes) sum += elementCount(shape);
  return sum;
}
