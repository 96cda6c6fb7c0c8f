// @ts-check
import { inEngine } from './budgets.mjs';
import { at } from './tree.mjs';

/**
 * The engine may know only itself, whatever else lies above it.
 * @param {import('./tree.mjs').Tree} tree
 */
export function checkEngine({ files }) {
  return files
    .filter(({ path }) => inEngine(path))
    .flatMap((file) =>
      file.imports.flatMap(({ target, line }) =>
        target === undefined || inEngine(target) ? [] : [at(file, 'engine', line, `the engine may not know ${target}`)],
      ),
    );
}
