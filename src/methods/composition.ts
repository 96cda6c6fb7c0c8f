import { fail } from '../base/errors.ts';

/** Adapters one after another: each takes what the one before it gives. A fusion may stand among them where it is outermost. */
export interface Stack<Child extends string | Fuse = string | Fuse> {
  readonly type: 'stack';
  readonly children: readonly Child[];
}

/** Adapters side by side, mixed by a learned attention (Pfeiffer et al. 2021). */
export interface Fuse {
  readonly type: 'fuse';
  readonly children: readonly (string | Stack<string>)[];
  /** The name of the fusion's parameters: several fusions may mix the same adapters. */
  readonly name: string;
}

/** What is active: one adapter, or several put together. */
export type Composition = string | Stack | Fuse;

/** @throws usage.value without adapters */
export function stack(...children: string[]): Stack<string>;
export function stack(...children: (string | Fuse)[]): Stack;
export function stack(...children: (string | Fuse)[]): Stack {
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
  const twice = names.find((one, i) => names.indexOf(one) !== i);
  if (twice !== undefined)
    fail({ code: 'adapter.duplicate', subject: 'fuse', found: `the adapter '${twice}' twice`, expected: 'each adapter once' });
  return { type: 'fuse', children, name: name ?? names.join(',') };
}

/** The adapter that stands for a part of a composition: the last one. */
export function lastOf(part: Composition): string {
  return typeof part === 'string' ? part : lastOf(part.children.at(-1) as Composition);
}

/** All adapters, each once, in order. */
export function adaptersOf(composition: Composition): string[] {
  return typeof composition === 'string' ? [composition] : [...new Set(composition.children.flatMap(adaptersOf))];
}

/** All fusions, outermost first. */
export function fusionsOf(composition: Composition): Fuse[] {
  if (typeof composition === 'string') return [];
  return [...(composition.type === 'fuse' ? [composition] : []), ...composition.children.flatMap(fusionsOf)];
}

/** As a text: `fuse(a, stack(b, c))`. */
export function describe(composition: Composition): string {
  return typeof composition === 'string' ? composition : `${composition.type}(${composition.children.map(describe).join(', ')})`;
}
