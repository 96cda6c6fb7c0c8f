import { asFloat32, type Files, fail, joinPath, list, type Tensor } from '../base/index.ts';
import { countNonFinite, readSafetensors, writeSafetensors } from '../formats/safetensors.ts';
import type { ParameterSpec } from '../nn/index.ts';

/** `bin` is what Python reads unless told otherwise; `safetensors` needs its `use_safetensors=True`. */
export type WeightFormat = 'bin' | 'safetensors';

/** A weight file by its two possible names. */
interface WeightFile {
  readonly bin: string;
  readonly safetensors: string;
}

/** Loaded when there is such a file: most starts of a command read none. */
const torch = () => import('../formats/torch.ts');

/** The tensors of a weight file, safetensors first. @throws file.missing, and what the readers throw */
export async function readWeights(
  files: Files,
  folder: string,
  names: WeightFile,
): Promise<{ path: string; tensors: Map<string, Tensor> }> {
  const safe = joinPath(folder, names.safetensors);
  if ((await files.kind(safe)) === 'file') return { path: safe, tensors: (await readSafetensors(files, safe)).tensors };
  const bin = joinPath(folder, names.bin);
  if ((await files.kind(bin)) === 'file') return { path: bin, tensors: (await (await torch()).readTorch(files, bin)).tensors };
  return fail({
    code: 'file.missing',
    subject: folder,
    found: 'no weights',
    expected: `${names.safetensors} or ${names.bin}`,
    next: 'The folder is incomplete: copy or download it again.',
  });
}

/** Writes one form and removes the other, so that no older weights are found in its place. */
export async function writeWeights(
  files: Files,
  folder: string,
  names: WeightFile,
  format: WeightFormat,
  tensors: Iterable<readonly [string, Tensor]>,
): Promise<void> {
  const bytes = format === 'bin' ? (await torch()).writeTorch(tensors) : writeSafetensors(tensors, { format: 'pt' });
  await files.write(joinPath(folder, names[format]), bytes);
  await files.remove(joinPath(folder, names[format === 'bin' ? 'safetensors' : 'bin']));
}

/** The tensors to store: each parameter, and under its other names again. @throws adapter.format when one is absent or misshapen */
export function tensorsToWrite(tensors: ReadonlyMap<string, Tensor>, specs: readonly ParameterSpec[], subject: string): [string, Tensor][] {
  const missing = specs.filter(({ name }) => !tensors.has(name)).map(({ name }) => name);
  if (missing.length) fail({ code: 'adapter.format', subject, found: `no ${list(missing)}`, expected: `its ${specs.length} parameters` });
  return specs.flatMap((spec) => {
    const value = tensors.get(spec.name) as Tensor;
    if (String(value.shape) !== String(spec.shape))
      fail({ code: 'adapter.format', subject: `${subject}: ${spec.name}`, found: `[${value.shape}]`, expected: `[${spec.shape}]` });
    return [spec.name, ...(spec.aliases ?? [])].map((name): [string, Tensor] => [name, value]);
  });
}

interface Matching {
  readonly path: string;
  /** What all names of the encoder begin with: absent in files that were saved from a bare encoder. */
  readonly prefix: string;
  /** What the tensors belong to, for messages: "the adapter 'sst'". */
  readonly owner: string;
  /** The number of distinct layers of the encoder; left out for heads. */
  readonly groups?: number;
  /** Whether a key is of this owner: one that it has no parameter for is refused, while those of others become a note. */
  readonly own?: (key: string) => boolean;
}

/**
 * Finds the tensor of every parameter, as float32. Other names for the same tensor are dropped, names that belong to
 * something else become notes.
 * @throws adapter.mismatch (other number of layers), adapter.format (lists the keys), file.dtype
 */
export function matchTensors(
  found: ReadonlyMap<string, Tensor>,
  specs: readonly ParameterSpec[],
  place: Matching,
): { tensors: Map<string, Tensor>; notes: string[] } {
  const { path, prefix, owner } = place;
  const canonical = new Map(specs.flatMap(({ name, aliases = [] }) => [name, ...aliases].map((one) => [one, name] as const)));
  const full = (key: string) => (canonical.has(key) ? key : prefix + key);
  const present = new Map([...found].map(([key, value]) => [full(key), value]));
  if (present.size < found.size) {
    const twice = [...found.keys()].filter((key) => full(key) !== key && found.has(full(key)));
    fail({ code: 'adapter.format', subject: path, found: `${list(twice, 4)} with and without '${prefix}'`, expected: 'every tensor once' });
  }
  const unexpected = [...found.keys()].filter((key) => !canonical.has(full(key)));
  const source = (spec: ParameterSpec) => [spec.name, ...(spec.aliases ?? [])].find((name) => present.has(name));
  const missing = specs.filter((spec) => source(spec) === undefined).map(({ name }) => name);
  if (place.groups !== undefined) checkLayers(place, place.groups, present, missing, unexpected);
  if (missing.length)
    fail({
      code: 'adapter.format',
      subject: path,
      found: `no ${list(missing)}${unexpected.length ? `; but ${list(unexpected, 4)}` : ''}`,
      expected: `the ${specs.length} tensors of ${owner}`,
      next: 'The file is incomplete, or its configuration belongs to other weights.',
    });
  const foreign = unexpected.filter((key) => place.own?.(full(key)));
  if (foreign.length)
    fail({
      code: 'adapter.format',
      subject: path,
      found: `${list(foreign, 4)}, for which its configuration has no place`,
      expected: `the ${specs.length} tensors of ${owner}`,
      next: 'The configuration belongs to other weights, or says less than they do.',
    });

  const notes: string[] = [];
  const tensors = new Map<string, Tensor>();
  const misshapen: string[] = [];
  const expanded = new Map<string, number>();
  for (const spec of specs) {
    const value = present.get(source(spec) as string) as Tensor;
    if (String(value.shape) !== String(spec.shape)) misshapen.push(`${spec.name} [${value.shape}] instead of [${spec.shape}]`);
    if (value.dtype !== 'float32') expanded.set(value.dtype, (expanded.get(value.dtype) ?? 0) + 1);
    for (const alias of spec.aliases ?? [])
      if (present.has(alias) && !equal(present.get(alias) as Tensor, value))
        notes.push(`${alias} should hold the same numbers as ${spec.name}, and does not; it is ignored.`);
    const bad = countNonFinite(value);
    if (bad) notes.push(`${spec.name} holds ${bad} numbers that are not finite.`);
    tensors.set(spec.name, { dtype: 'float32', shape: value.shape, data: asFloat32(value, `${path}: ${spec.name}`) });
  }
  if (misshapen.length)
    fail({
      code: 'adapter.format',
      subject: path,
      found: list(misshapen, 4),
      expected: `the shapes that the configuration of ${owner} and the encoder ask for`,
      next: 'The weights belong to another configuration or another encoder.',
    });
  notes.push(...[...expanded].map(([dtype, count]) => `${count} ${dtype} tensors of ${owner} are expanded to float32 at load.`));
  if (unexpected.length) notes.push(`Not part of ${owner}, ignored: ${list(unexpected)}.`);
  return { tensors, notes };
}

/** Weights for more or fewer layers than the encoder has are an adapter of another encoder, not a damaged file. */
function checkLayers(
  { path, owner }: Matching,
  groups: number,
  present: ReadonlyMap<string, Tensor>,
  missing: readonly string[],
  unexpected: readonly string[],
): void {
  const highest = [...present.keys()].reduce((most, key) => Math.max(most, layerOf(key)), -1);
  const beyond = unexpected.some((key) => layerOf(key) >= groups);
  const short = missing.length > 0 && highest >= 0 && missing.every((name) => layerOf(name) > highest);
  if (beyond || short)
    fail({
      code: 'adapter.mismatch',
      subject: path,
      found: `${owner} for an encoder of ${beyond ? '' : 'perhaps '}${highest + 1} layers`,
      expected: `${groups} layers`,
      next: 'Load the encoder it was made for, or train an adapter for this one.',
    });
}

function equal(a: Tensor, b: Tensor): boolean {
  return a.dtype === b.dtype && a.data.length === b.data.length && a.data.every((x: number | bigint, i: number) => Object.is(x, b.data[i]));
}

/** The first number in a dotted name: the layer; −1 where there is none. */
function layerOf(name: string): number {
  return Number(/\.(\d+)\./.exec(name)?.[1] ?? -1);
}
