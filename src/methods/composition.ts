import { fail } from '../base/index.ts';

/** Adapters put together, one of the kinds of {@link BLOCKS}. */
export interface Block {
  readonly type: string;
  readonly children: readonly Composition[];
}

/** Adapters one after another: each takes what the one before it gives. */
export interface Stack<Child extends Composition = Composition> extends Block {
  readonly type: 'stack';
  readonly children: readonly Child[];
}

/** Adapters side by side, mixed by a learned attention (Pfeiffer et al. 2021). */
export interface Fuse extends Block {
  readonly type: 'fuse';
  readonly children: readonly (string | Stack<string>)[];
  /** The name of the fusion's parameters: several fusions may mix the same adapters. */
  readonly name: string;
}

/** The weighted mean of what adapters give. */
export interface Average extends Block {
  readonly type: 'average';
  /** One for each child. */
  readonly weights: readonly number[];
}

/** Rows of a batch to one child after another, so many to each. */
export interface BatchSplit extends Block {
  readonly type: 'batchSplit';
  /** One for each child; 0 for one that gets none. */
  readonly batchSizes: readonly number[];
}

/** Each row of a batch to the child that its task names. */
export interface MultiTask extends Block {
  readonly type: 'multiTask';
}

/** Tokens of each sequence to one child after another, so many to each. */
export interface Split extends Block {
  readonly type: 'split';
  /** One for each child; 0 for one that gets none. */
  readonly splits: readonly number[];
}

/** All rows of a batch to each child. */
export interface Parallel extends Block {
  readonly type: 'parallel';
}

/** What is active: one adapter, or several put together. */
export type Composition = string | Stack | Fuse | Average | BatchSplit | MultiTask | Parallel | Split | Block;

/** @throws usage.value without adapters */
export function stack(...children: string[]): Stack<string>;
export function stack(...children: Composition[]): Stack;
export function stack(...children: Composition[]): Stack {
  if (children.length === 0) fail({ code: 'usage.value', subject: 'stack', found: 'no adapters', expected: 'at least one' });
  return { type: 'stack', children };
}

/**
 * A fusion of adapters. As in the Python library its name is that of the adapters with commas, where none is given.
 * @throws usage.value without adapters, adapter.duplicate for one twice
 */
export function fuse(children: readonly (string | Stack<string>)[], { name }: { readonly name?: string } = {}): Fuse {
  const names = children.map(lastOf);
  if (names.length === 0) fail({ code: 'usage.value', subject: 'fuse', found: 'no adapters', expected: 'at least one' });
  const twice = names.find((adapter, i) => names.indexOf(adapter) !== i);
  if (twice !== undefined)
    fail({ code: 'adapter.duplicate', subject: 'fuse', found: `the adapter '${twice}' twice`, expected: 'each adapter once' });
  return { type: 'fuse', children, name: name ?? names.join(',') };
}

/**
 * The mean of adapters, each weighing the same unless `weights` are given, which are made to add up to 1 unless
 * `normalizeWeights` is false.
 * @throws usage.value without adapters, for another number of weights, or weights that add up to 0
 */
export function average(
  children: readonly Composition[],
  { weights, normalizeWeights = true }: { readonly weights?: readonly number[]; readonly normalizeWeights?: boolean } = {},
): Average {
  if (children.length === 0) fail({ code: 'usage.value', subject: 'average', found: 'no adapters', expected: 'at least one' });
  const wanted = weights ?? children.map(() => 1 / children.length);
  if (wanted.length !== children.length || !wanted.every(Number.isFinite))
    fail({
      code: 'usage.value',
      subject: 'average: weights',
      found: `[${wanted.join(', ')}]`,
      expected: `${children.length} numbers, one for each child`,
    });
  const sum = wanted.reduce((total, weight) => total + weight, 0);
  if (normalizeWeights && sum === 0)
    fail({ code: 'usage.value', subject: 'average: weights', found: 'a sum of 0', expected: 'weights that can be made to add up to 1' });
  return { type: 'average', children, weights: normalizeWeights && weights ? wanted.map((weight) => weight / sum) : wanted };
}

/**
 * Rows of a batch to one child after another: `batchSizes` rows to each, or to each as many as its number in the list says.
 * @throws usage.value without adapters, for another number of sizes, or what is no number of rows
 */
export function batchSplit(
  children: readonly Composition[],
  { batchSizes }: { readonly batchSizes: number | readonly number[] },
): BatchSplit {
  return { type: 'batchSplit', children, batchSizes: sizesOf('batchSplit: batchSizes', children, batchSizes) };
}

/** Each row of a batch to the child whose number its task is. @throws usage.value without adapters */
export function multiTask(...children: Composition[]): MultiTask {
  if (children.length === 0) fail({ code: 'usage.value', subject: 'multiTask', found: 'no adapters', expected: 'at least one' });
  return { type: 'multiTask', children };
}

/**
 * Tokens of each sequence to one child after another: `splits` tokens to each, or to each as many as its number in the list says.
 * All sequences are padded to their sum.
 * @throws usage.value without adapters, for another number of sizes, or what is no number of tokens
 */
export function split(children: readonly Composition[], { splits }: { readonly splits: number | readonly number[] }): Split {
  return { type: 'split', children, splits: sizesOf('split: splits', children, splits) };
}

/** All rows of a batch to each child: several tasks answered at once. @throws usage.value without adapters */
export function parallel(...children: Composition[]): Parallel {
  if (children.length === 0) fail({ code: 'usage.value', subject: 'parallel', found: 'no adapters', expected: 'at least one' });
  return { type: 'parallel', children };
}

/** One size for each child. @throws usage.value */
function sizesOf(subject: string, children: readonly Composition[], sizes: number | readonly number[]): readonly number[] {
  const each = typeof sizes === 'number' ? children.map(() => sizes) : sizes;
  if (
    children.length > 0 &&
    Array.isArray(each) &&
    each.length === children.length &&
    each.every((size) => Number.isInteger(size) && size >= 0) &&
    each.some((size) => size > 0)
  )
    return each;
  return fail({
    code: 'usage.value',
    subject,
    found: Array.isArray(each) ? `[${each.join(', ')}]` : String(each),
    expected: `${children.length || 'at least one'} whole numbers, one for each child, some of them above 0`,
  });
}

export function isFuse(composition: Composition): composition is Fuse {
  return typeof composition !== 'string' && composition.type === 'fuse';
}

/** The adapter that stands for a part of a composition: the last one. */
export function lastOf(part: Composition): string {
  return typeof part === 'string' ? part : lastOf(part.children.at(-1) as Composition);
}

/** The first adapter: the one that acts where only one can. */
export function firstOf(part: Composition): string {
  return typeof part === 'string' ? part : firstOf(part.children[0] as Composition);
}

/** The block whose children's answers come out, if any: the last of a stack. */
export function lastBlockOf(composition: Composition): Block | undefined {
  if (typeof composition === 'string') return undefined;
  const last = composition.type === 'stack' ? composition.children.at(-1) : composition;
  return typeof last === 'string' ? undefined : last;
}

/** All adapters, each once, in order. */
export function adaptersOf(composition: Composition): string[] {
  return typeof composition === 'string' ? [composition] : [...new Set(composition.children.flatMap(adaptersOf))];
}

/** All blocks, outermost first. */
export function blocksOf(composition: Composition): Block[] {
  return typeof composition === 'string' ? [] : [composition, ...composition.children.flatMap(blocksOf)];
}

/** All fusions, outermost first. */
export function fusionsOf(composition: Composition): Fuse[] {
  return blocksOf(composition).filter(isFuse);
}

/** The fusion that a part is called after, or its last adapter. */
export function nameOf(part: Composition): string {
  return fusionsOf(part)[0]?.name ?? lastOf(part);
}

/** As a text: `fuse(a, stack(b, c))`. */
export function describe(composition: Composition): string {
  return typeof composition === 'string' ? composition : `${composition.type}(${composition.children.map(describe).join(', ')})`;
}
