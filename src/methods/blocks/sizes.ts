import type { Json } from '../../formats/json.ts';
import type { Wrong } from './block.ts';

/** Sizes as Python writes them: a list, or one number for all children. @throws adapter.format by `wrong` */
export function readSizes(sizes: Json | undefined, children: number, wrong: Wrong): readonly number[] {
  const each = typeof sizes === 'number' ? Array.from({ length: children }, () => sizes) : sizes;
  const isSize = (size: Json) => typeof size === 'number' && Number.isInteger(size) && size >= 0;
  if (Array.isArray(each) && each.length === children && each.every(isSize) && each.some((size) => size !== 0)) return each as number[];
  return wrong(sizes, `sizes: ${children} whole numbers, some of them above 0`);
}

export function sum(sizes: readonly number[]): number {
  return sizes.reduce((total, size) => total + size, 0);
}
