// @ts-check
import { at, folderOf } from './tree.mjs';

/**
 * Folders that others enter by their index.ts alone. So no file outside of methods/ or encoders/ can single out one method or
 * one family: it sees what their registries hand out.
 */
const DOORS = [
  'auto-adapter-model',
  'batch',
  'checkpoint',
  'encoders',
  'graph',
  'inspect',
  'methods',
  'metrics',
  'nn',
  'objectives',
  'text',
  'update',
];

/**
 * @param {import('./tree.mjs').Tree} tree
 */
export function checkDoors({ files }) {
  return files.flatMap((file) =>
    file.imports.flatMap(({ target, line }) => {
      const folder = target === undefined ? '' : folderOf(target);
      const passes = folder === file.folder || !DOORS.includes(folder) || target === `${folder}/index.ts`;
      return passes ? [] : [at(file, 'door', line, `${target} is a file within ${folder}/: import ${folder}/index.ts`)];
    }),
  );
}
