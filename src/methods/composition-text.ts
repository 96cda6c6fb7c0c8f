import { fail, nearest } from '../base/index.ts';
import type { BlockKind, Wrong } from './blocks/block.ts';
import { BLOCKS, checkNesting } from './blocks/index.ts';
import type { Composition } from './composition.ts';
import { formatLiteral, parseGrammar } from './grammar.ts';

/**
 * Reads a composition as Python writes it, `Stack(language, Fuse(a, b, name='both'))`: names of adapters, in quotes where they hold more than
 * letters, digits and `_-.@/+`, and blocks with what they are given beside their children.
 * @throws composition.nesting for an unknown block, a wrong place, or a text that is none
 */
export function parseComposition(text: string, kinds: readonly BlockKind[] = BLOCKS): Composition {
  const composition = read(text.trim());
  checkNesting(composition, `'${text}'`, kinds);
  return composition;

  function read(part: string): Composition {
    const quoted = /^(['"])([^'"]+)\1$/.exec(part);
    if (quoted) return quoted[2] as string;
    if (/^[\w@/+.-]+$/.test(part)) return part;
    const [, name = '', inner] = /^(\w+)\s*\((.*)\)$/s.exec(part) ?? [];
    if (inner === undefined) return wrong(part === '' ? 'nothing' : `'${part}'`, 'the name of an adapter, or a block such as Stack(a, b)');
    const kind = kinds.find(({ python, type }) => [python, type].some((one) => one.toLowerCase() === name.toLowerCase()));
    if (!kind) {
      const near = nearest(
        name,
        kinds.map(({ python }) => python),
      );
      return wrong(`the block '${name}'`, kinds.map(({ python }) => python).join(', '), near && `Did you mean '${near}'?`);
    }
    const parts = split(inner);
    const named = parts.filter((one) => NAMED.test(one));
    const children = parts.filter((one) => !NAMED.test(one)).map(read);
    if (children.length === 0) return wrong(`${kind.python}()`, 'at least one adapter in it');
    const { values } = parseGrammar(`x[${named.join(',')}]`);
    const wrongArgument: Wrong = (found, expected) => wrong(`${kind.python} with ${formatLiteral(found)}`, expected);
    return kind.read(children, values as Parameters<BlockKind['read']>[1], wrongArgument);
  }

  /** The parts between commas that stand in no brackets or quotes. */
  function split(inner: string): string[] {
    const parts = [''];
    let depth = 0;
    for (const token of inner.match(/'[^']*'|"[^"]*"|[^'"]|['"]/g) ?? []) {
      if ('([{'.includes(token)) depth++;
      if (')]}'.includes(token)) depth--;
      if (depth < 0) wrong(`'${inner}'`, 'as many brackets that open as close');
      if (token === ',' && depth === 0) parts.push('');
      else parts[parts.length - 1] += token;
    }
    if (depth > 0) wrong(`'${inner}'`, 'as many brackets that open as close');
    const trimmed = parts.map((one) => one.trim());
    // A comma at the end, as Python allows it.
    return trimmed.at(-1) === '' ? trimmed.slice(0, -1) : trimmed;
  }

  function wrong(found: string, expected: string, next?: string): never {
    return fail({ code: 'composition.nesting', subject: `the setup '${text}'`, found, expected, ...(next && { next }) });
  }
}

/** What is no child: `name='both'`. */
const NAMED = /^\w+\s*=/;

/** A composition as {@link parseComposition} reads it. */
export function formatComposition(composition: Composition, kinds: readonly BlockKind[] = BLOCKS): string {
  if (typeof composition === 'string') return /^[\w@/+.-]+$/.test(composition) ? composition : `'${composition}'`;
  const kind = kinds.find(({ type }) => type === composition.type);
  const children = composition.children.map((child) => formatComposition(child, kinds));
  const named = Object.entries(kind?.write(composition) ?? {}).map(([key, value]) => `${key}=${formatLiteral(value)}`);
  return `${kind?.python ?? composition.type}(${[...children, ...named].join(', ')})`;
}
