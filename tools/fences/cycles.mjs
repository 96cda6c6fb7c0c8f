// @ts-check
import { at } from './tree.mjs';

/** @typedef {import('./tree.mjs').Parsed} Parsed */

/**
 * Strongly connected files (Tarjan's algorithm); each cycle is reported once, at its first import.
 * @param {import('./tree.mjs').Tree} tree
 */
export function checkCycles({ files }) {
  const byPath = new Map(files.map((file) => [file.path, file]));
  const targets = (/** @type {Parsed} */ file) =>
    file.imports.flatMap(({ target: path, line }) => {
      const target = byPath.get(path ?? '');
      return target ? [{ target, line }] : [];
    });
  /** @type {Map<Parsed, { index: number, low: number, open: boolean }>} */
  const seen = new Map();
  /** @type {Parsed[]} */
  const stack = [];
  /** @type {import('./tree.mjs').Violation[]} */
  const violations = [];
  const visit = (/** @type {Parsed} */ file) => {
    const mark = { index: seen.size, low: seen.size, open: true };
    seen.set(file, mark);
    stack.push(file);
    for (const { target } of targets(file)) {
      const known = seen.get(target);
      if (known === undefined) mark.low = Math.min(mark.low, visit(target).low);
      else if (known.open) mark.low = Math.min(mark.low, known.index);
    }
    if (mark.low === mark.index) {
      const ring = stack.splice(stack.indexOf(file));
      for (const member of ring) /** @type {{ open: boolean }} */ (seen.get(member)).open = false;
      const back = targets(file).find(({ target }) => ring.includes(target));
      if (back)
        violations.push(
          at(file, 'cycle', back.line, `files import each other in a ring: ${ring.map((member) => `src/${member.path}`).join(', ')}`),
        );
    }
    return mark;
  };
  for (const file of files) if (!seen.has(file)) visit(file);
  return violations;
}
