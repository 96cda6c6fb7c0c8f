import { totalElements } from '../base/index.ts';
import {
  configFields,
  drawEncoder,
  type EncoderConfig,
  type EncoderFamily,
  encoderSpecs,
  FAMILIES,
  pythonClass,
  type SiteName,
  type Sites,
} from '../encoders/index.ts';
import { attach, type ConfiguredMethod, configureMethod, METHODS, type MethodConfig } from '../methods/index.ts';
import { noDropout, parameters } from '../nn/index.ts';

/** A ready configuration of a method, on a BERT of the base size (12 layers, 768 hidden units). */
export interface Built {
  /** Its names; the later ones are older names of the same. */
  readonly names: readonly string[];
  readonly config: MethodConfig;
  /** How many numbers train. */
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
  /** The longest sequence. */
  readonly mostTokens: number;
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
      parameters: totalElements(encoderSpecs(family, defaults)),
      pooler: family.pooler !== undefined,
      mostTokens: family.mostTokens(defaults),
      pythonClass: pythonClass(family),
    };
  });
}

function build(names: readonly string[]): Built {
  const configured = configureMethod(names[0] as string);
  const { method, config } = configured;
  const family = FAMILIES[0] as EncoderFamily;
  const encoder = family.config(configFields({}, family.name));
  const added = totalElements(method.parameters(config, { encoder, family, name: 'x' }).filter(({ trains }) => trains !== false));
  const all = method.trainsEncoder ? totalElements(encoderSpecs(family, encoder)) : 0;
  return { names, config, parameters: added + all, sites: method.trainsEncoder ? ['every weight'] : sitesOf(configured, family, encoder) };
}

/** What people call a site. */
const LABELS: { readonly [Name in SiteName]: (site: Sites[Name]) => string } = {
  embedded: () => 'embeddings',
  input: () => 'what the first layer reads',
  linear: ({ name }) => name,
  attention: () => 'keys and values',
  scores: () => 'attention scores',
  residual: ({ place }) => (place === 'attention' ? 'add-and-norm after attention' : 'add-and-norm after feed-forward'),
  norm: ({ place, layer }) =>
    layer === undefined ? 'norm of the embeddings' : `norm after ${place === 'attention' ? 'attention' : 'feed-forward'}`,
  layer: () => 'layer outputs',
  output: () => "the encoder's output",
  word: () => 'the word table',
};

/** The sites at which a method asks for parameters of its own, found by drawing an encoder with it. */
function sitesOf(configured: ConfiguredMethod, family: EncoderFamily, encoder: EncoderConfig): string[] {
  const seen = new Set<string>();
  const [trained, frozen] = [parameters(() => true), parameters(() => false)];
  let asked = 0;
  const count: typeof trained = (name, shape) => {
    asked++;
    return trained(name, shape);
  };
  const hooks = attach(configured, { encoder, family, name: 'x' }).hooks(count, noDropout);
  const watched = Object.entries(hooks).map(([name, hook]) => [
    name,
    (site: never) => {
      const before = asked;
      const value = (hook as (site: never) => unknown)(site);
      if (asked > before) seen.add((LABELS[name as SiteName] as (site: never) => string)(site));
      return value;
    },
  ]);
  drawEncoder({ config: encoder, family, parameters: frozen, dropout: noDropout, hooks: Object.fromEntries(watched), read: 'all' });
  return [...seen];
}
