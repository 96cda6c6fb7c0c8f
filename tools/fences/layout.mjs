// @ts-check
import { problem } from './tree.mjs';

const README = 'src/README.md';

/**
 * The table of src/README.md lists every folder of src/, once.
 * @param {import('./tree.mjs').Tree} tree
 */
export function checkLayout({ layout, folders }) {
  const listed = layout.map((row) => row.name);
  const twice = layout.filter((row, i) => listed.indexOf(row.name) !== i);
  const wrong = layout.filter((row) => row.later === folders.includes(row.name));
  return [
    ...twice.map((row) => problem('layout', README, row.line, `${row.name}/ is listed twice`)),
    ...wrong.map(({ name, line, later }) =>
      problem('layout', README, line, later ? `${name}/ is marked (later) but exists` : `${name}/ is listed but does not exist`),
    ),
    ...folders
      .filter((name) => !listed.includes(name))
      .map((name) => problem('layout', README, 1, `src/${name}/ exists but is not listed`)),
  ];
}
