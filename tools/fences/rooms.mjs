// @ts-check
import { ROOMED, roomOf } from '../source.mjs';
import { at } from './tree.mjs';

/**
 * What lies beside the rooms of a folder is their common ground. A room may import that and itself, never the other way round,
 * nor another room; only the folder's index.ts may look into all rooms.
 * @param {import('./tree.mjs').Tree} tree
 */
export function checkRooms({ files }) {
  return files
    .filter(({ folder, path }) => ROOMED.includes(folder) && path !== `${folder}/index.ts`)
    .flatMap((file) =>
      file.imports.flatMap(({ target, line }) => {
        const room = target?.startsWith(`${file.folder}/`) ? roomOf(target) : file.folder;
        const passes = room === file.folder || room === roomOf(file.path);
        return passes ? [] : [at(file, 'room', line, `${roomOf(file.path)}/ may not import ${room}/`)];
      }),
    );
}
