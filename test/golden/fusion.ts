import { float32, type Tensor } from '../../src/base/tensor.ts';
import { type Batch, readCases } from './forward.ts';

/** What tools/golden/fusion.py says about one forward and backward pass; the file's own note has the details. */
export interface FusionCase {
  readonly encoder: string;
  /** Name to configuration string. */
  readonly adapters: Readonly<Record<string, string>>;
  readonly fusions: readonly FusionEntry[];
  /** The active composition, as text, and the name of its fusion. */
  readonly setup: string;
  readonly fusion: string;
  /** True: `gradients` covers the adapters' parameters too. */
  readonly adapterGradients?: boolean;
  readonly fusionKeys?: Readonly<Record<string, readonly number[]>>;
  /** rows x labels */
  readonly logits: number[][];
  /** Last hidden state summed over its width, rows x tokens; and its absolute values. */
  readonly tokenSums: number[][];
  readonly tokenAbsSums: number[][];
  readonly attentions: readonly FusionAttention[];
  readonly loss: number;
  readonly gradients: Readonly<Record<string, Digest>>;
  readonly vanishingGradient: readonly string[];
  readonly withoutGradient: readonly string[];
  readonly regulariser: number;
  readonly float32AgainstFloat64: number;
}

export interface FusionEntry {
  readonly name: string;
  readonly adapterNames: readonly string[];
  /** All ten fields, as in adapter_fusion_config.json. */
  readonly config: Readonly<Record<string, boolean | number | null>>;
}

export interface FusionAttention {
  readonly layer: number;
  readonly site: 'mh_adapter' | 'output_adapter';
  /** How many children of the fusion take part in this layer. */
  readonly children: number;
  /** rows x tokens x children, flat. */
  readonly values: number[];
}

/** Norm, product with the probe of that name, first three entries. */
export type Digest = readonly number[];

export interface FusionCases {
  readonly fills: readonly Fill[];
  readonly head: string;
  readonly labels: number[];
  readonly batches: Readonly<Record<string, Batch>>;
  readonly cases: Readonly<Record<string, FusionCase>>;
  readonly refused: Readonly<Record<string, { readonly setup: string; readonly adapters: Record<string, string>; readonly error: string }>>;
  readonly initial: Readonly<Record<string, Readonly<Record<string, InitialStatistics>>>>;
}

export interface InitialStatistics {
  readonly shape: number[];
  readonly mean: number;
  readonly std: number;
  readonly diagonal?: number[];
  readonly offDiagonal?: number[];
}

export interface FusionTrajectory {
  readonly adapters: Readonly<Record<string, string>>;
  readonly fusions: readonly FusionEntry[];
  readonly regularised: boolean;
  /** Before each of the six steps, and after the last. */
  readonly losses: number[];
  readonly regularisers: number[];
  readonly temperatures: number[];
  /** Before clipping. */
  readonly gradientNorms: number[];
  readonly withoutDecay: string[];
  readonly vanishingGradient: string[];
  readonly final: Readonly<Record<string, Digest>>;
}

export interface FusionTrajectories extends Batch {
  readonly fills: readonly Fill[];
  readonly head: string;
  readonly labels: number[];
  readonly optimiser: {
    readonly learningRate: number;
    readonly beta1: number;
    readonly beta2: number;
    readonly epsilon: number;
    readonly weightDecay: number;
    readonly clip: number;
    readonly steps: number;
  };
  readonly variants: Readonly<Record<string, FusionTrajectory>>;
}

/** Folders saved by Python: setup/ with fusion "a,b", and static/ with a second fusion over the adapters of setup/. */
export interface FusionSaved extends Batch {
  readonly encoder: string;
  readonly folders: Readonly<Record<'setup' | 'static', { readonly fusion: string; readonly head: string; readonly logits: number[][] }>>;
}

type Fill = readonly [pattern: string, centre: number, halfWidth: number];
type Filled = { readonly provenance: { readonly seed: number }; readonly fills: readonly Fill[] };

export const fusionCases = () => readCases<FusionCases & Filled>('fusion/cases.json');
export const fusionTrajectories = () => readCases<FusionTrajectories & Filled>('fusion/trajectories.json');
export const fusionSaved = () => readCases<FusionSaved>('fusion-saved/expected.json');

/** The parameter of this name in every golden model of fusion: `draw` of tools/golden/fusion.py. */
export function draw({ provenance, fills }: Filled, name: string, shape: readonly number[]): Tensor {
  let start = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(`${provenance.seed}:${name}`)) start = Math.imul(start ^ byte, 0x01000193);
  const [, centre, halfWidth] = fills.find(([pattern]) => new RegExp(pattern).test(name)) as Fill;
  const values = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => {
    let x = (start + Math.imul(i, 0x9e3779b9)) | 0;
    x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
    x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
    const u = ((x ^ (x >>> 16)) >>> 8) / 2 ** 24;
    return centre + halfWidth * (2 * u - 1);
  });
  return float32(shape, values);
}

/** The digest of a gradient or parameter, to compare with the golden one. */
export function digest(golden: Filled, name: string, { data, shape }: Tensor): Digest {
  const values = Array.from(data as Float32Array, Number);
  const probe = draw(golden, `probe:${name}`, shape).data as Float32Array;
  const product = values.reduce((sum, value, i) => sum + value * (probe[i] as number), 0);
  return [Math.hypot(...values), product, ...values.slice(0, 3)];
}
