import { type Files, memoryFiles } from '../../src/base/files.ts';
import { float32, type Tensor, tensor, toFloat16 } from '../../src/base/tensor.ts';
import { writeSafetensors } from '../../src/formats/safetensors.ts';
import { type Batch, readCases } from './forward.ts';
import { draw } from './fusion.ts';

/** What tools/golden/config_sweep.py and peft_sweep.py say of a configuration; their own notes have the details. */
export interface Observed {
  readonly values: number[];
  /** A number in the list of tensors. */
  readonly tensors: number;
  readonly random?: boolean;
  readonly training?: number[];
  /** By the kind of tensor: count, mean, standard deviation. */
  readonly initial?: Readonly<Record<string, readonly [number, number, number]>>;
}

export type SweptCase = {
  readonly field: string;
  readonly value: unknown;
  readonly changes?: boolean;
  readonly error?: string;
} & Partial<Observed>;

export interface SweptClass extends Observed {
  readonly config: Readonly<Record<string, unknown>>;
  readonly fills: readonly (readonly [pattern: string, centre: number, halfWidth: number])[];
  readonly cases: readonly SweptCase[];
}

export interface Sweep extends Batch {
  readonly provenance: { readonly seed: number };
  /** Shapes, with a type in front where it is not float32, by names in which {0,1,2} stands for each of these layers. */
  readonly tensors: readonly Readonly<Record<string, readonly (number | string)[]>>[];
  readonly classes: Readonly<Record<string, SweptClass>>;
}

export const readSweep = (library: 'adapters' | 'peft') => readCases<Sweep>(`config-sweep/${library}.json`);

type Filled = Parameters<typeof draw>[0];

/** The tensor of this name: `fill` of tools/golden/config_sweep.py. */
export function fill(golden: Filled, name: string, [first, ...rest]: readonly (number | string)[]): Tensor {
  const dtype = typeof first === 'string' ? first : 'float32';
  const shape = (typeof first === 'string' ? rest : [first, ...rest]) as number[];
  if (name.endsWith('shira_indices')) {
    const [rows, count] = shape as [number, number];
    return tensor(
      'int32',
      shape,
      Int32Array.from({ length: rows * count }, (_, i) => ((i % count) * 7) % (i < count ? 31 : 32)),
    );
  }
  if (name.endsWith('.0.base')) {
    const d = shape[0] as number;
    return float32(
      shape,
      Array.from({ length: d * d }, (_, at) => signed(Math.floor(at / d), at % d, d)),
    );
  }
  if (/randlora_[AB]$/.test(name)) return corner(draw(golden, name.slice(-10), name.endsWith('A') ? [8, 1, 64] : [64, 12, 8]), shape);
  const value = draw(golden, name, shape);
  const data = value.data as Float32Array;
  if (name.endsWith('.original')) for (let i = 0; i < (shape[0] as number); i++) data[i * (shape[1] as number) + i] = i % 2 ? -1 : 1;
  return dtype === 'float16' ? tensor('float16', shape, toFloat16(data)) : value;
}

function corner({ shape: [, b, c], data }: Tensor, [x, y, z]: readonly number[]): Tensor {
  const [width, depth, rows, across, along] = [b, c, x, y, z] as [number, number, number, number, number];
  const at = (i: number) => (Math.floor(i / along / across) * width + (Math.floor(i / along) % across)) * depth + (i % along);
  return float32(
    [rows, across, along],
    Array.from({ length: rows * across * along }, (_, i) => data[at(i)] as number),
  );
}

/** An orthogonal matrix: a permutation, every third row with a sign. */
function signed(row: number, column: number, d: number): number {
  if (column !== (7 * row + 3) % d) return 0;
  return row % 3 === 0 ? -1 : 1;
}

/** The names of all layers. */
export function spelledOut(kind: Sweep['tensors'][number]): [string, readonly (number | string)[]][] {
  return Object.entries(kind).flatMap(([name, shape]) => {
    const [, before, layers, after] = /^(.*)\{([\d,]*)\}(.*)$/.exec(name) ?? [];
    if (layers === undefined) return [[name, shape] as [string, typeof shape]];
    return layers.split(',').map((layer): [string, typeof shape] => [`${before}${layer}${after}`, shape]);
  });
}

/** A folder in memory, as Python would have saved it. */
export async function folderOf(config: object, weights: string, tensors: Iterable<readonly [string, Tensor]>): Promise<Files> {
  const files = memoryFiles();
  await files.write('golden/adapter_config.json', JSON.stringify(config));
  await files.write(`golden/${weights}`, writeSafetensors(tensors, { format: 'pt' }));
  return files;
}

/** Of a tensor with several names: the pool's of a prefix, which every layer holds too, and that of a norm that stands in a sequence. */
export function firstName(name: string, names: ReadonlySet<string>): string {
  const others = [
    name.replace(/^(\w+)\..*\.prefix_tuning\.pool\./, '$1.prefix_tuning.'),
    name.replace('.adapter_down.0.', '.adapter_norm_before.'),
  ];
  return others.find((other) => other !== name && names.has(other)) ?? name;
}

/** By more than 1e-5 of the largest. */
export function differs({ data }: Tensor, expected: readonly number[] = []): boolean {
  const most = 1e-5 * Math.max(...expected.map(Math.abs));
  return data.length !== expected.length || expected.some((value, i) => !(Math.abs(value - Number(data[i])) <= most));
}

/** Kinds of tensors whose numbers are too few, or too far from Python's, for one distribution; in words. */
export function spreadApart(found: ReadonlyMap<string, Tensor>, expected: NonNullable<Observed['initial']>): string | undefined {
  const groups = new Map<string, number[]>();
  for (const [key, { data }] of found) {
    const kind = key.replace(/\.\d+\./, '.#.');
    groups.set(kind, [...(groups.get(kind) ?? []), ...Array.from(data as Float32Array)]);
  }
  const apart = Object.entries(expected).filter(([kind, [count, mean, deviation]]) => {
    // Of an orthogonal matrix only the rows that are read are random here.
    if (kind.endsWith('.base') || count < 10) return false;
    const values = groups.get(kind) ?? [];
    const own = values.reduce((sum, x) => sum + x, 0) / count;
    const spread = Math.sqrt(values.reduce((sum, x) => sum + (x - own) ** 2, 0) / count);
    const noise = deviation / Math.sqrt(count);
    const near = Math.abs(own - mean) <= 6 * noise + 1e-4 * Math.abs(mean) + 1e-7;
    return values.length !== count || !near || Math.abs(spread - deviation) > 4 * noise + 1e-3 * deviation;
  });
  return apart.length ? `first values of ${apart.map(([kind]) => kind)}` : undefined;
}
