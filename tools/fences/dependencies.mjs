// @ts-check
import { at, isBuiltin } from './tree.mjs';

/**
 * Every package is one that an installed copy has.
 * @param {import('./tree.mjs').Tree} tree
 */
export function checkDependencies({ files, dependencies }) {
  return files.flatMap((file) =>
    file.imports.flatMap(({ specifier, target, line }) => {
      if (target !== undefined || isBuiltin(specifier)) return [];
      if (specifier.startsWith('#'))
        return [at(file, 'dependency', line, `${specifier} names no file of src/ in the imports of package.json`)];
      const name = specifier
        .split('/')
        .slice(0, specifier.startsWith('@') ? 2 : 1)
        .join('/');
      return name === 'multigraft' || dependencies.includes(name)
        ? []
        : [at(file, 'dependency', line, `${name} is not among the dependencies of package.json`)];
    }),
  );
}
