// @ts-check
import { at, folderOf } from './tree.mjs';

/**
 * A folder may import only folders above it in the table of src/README.md. Files directly in src/ may import all.
 * @param {import('./tree.mjs').Tree} tree
 */
export function checkOrder({ files, layout }) {
  const order = layout.map((row) => row.name);
  const wrong = (/** @type {string} */ folder, /** @type {import('./tree.mjs').Import} */ { specifier, target }) => {
    if (specifier === 'multigraft' || specifier.startsWith('multigraft/')) return 'imports the package by its own name';
    if (target === undefined) return undefined;
    const other = folderOf(target);
    if (other === '' || other === '..') return `${specifier} lies outside the folders of src/`;
    const above = order.includes(other) && order.indexOf(other) < order.indexOf(folder);
    return other === folder || above ? undefined : `${folder}/ may not import ${other}/`;
  };
  return files
    .filter((file) => file.folder !== '')
    .flatMap((file) =>
      file.imports.flatMap((entry) => {
        const message = wrong(file.folder, entry);
        return message === undefined ? [] : [at(file, 'order', entry.line, message)];
      }),
    );
}
