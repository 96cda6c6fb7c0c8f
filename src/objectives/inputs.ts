import { input } from '../graph/index.ts';
import type { HeadInputs } from './kind.ts';
import type { Feeds } from './unit.ts';

/** The inputs of a model's only head by their names, those of head `index` of several with its number. */
export function headInputs(index: number, heads: number): HeadInputs {
  const tail = tailOf(index, heads);
  return { input: (name, dtype, shape) => input(name + tail, dtype, shape), rows: `R${heads > 1 ? index : ''}` };
}

/** What such inputs are fed. */
export function headFeeds(feeds: Feeds, index: number, heads: number): Feeds {
  const tail = tailOf(index, heads);
  return tail === '' ? feeds : Object.fromEntries(Object.entries(feeds).map(([name, value]) => [name + tail, value]));
}

function tailOf(index: number, heads: number): string {
  return heads > 1 ? `.${index}` : '';
}
