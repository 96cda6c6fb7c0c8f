// @ts-check
import { roomOf, totalLines } from '../source.mjs';
import { inEngine } from './budgets.mjs';
import { at, problem } from './tree.mjs';

/** Where a budget is to be changed. */
const TABLE = 'tools/fences/budgets.mjs';

/**
 * No file, no room and no engine above its budget, and a budget for each room.
 * @param {import('./tree.mjs').Tree} tree
 * @param {import('./budgets.mjs').Budgets} budgets
 */
export function checkSize({ files }, budgets) {
  const rooms = new Set(files.map(({ path }) => roomOf(path)).filter((room) => room !== ''));
  const empty = Object.keys(budgets.rooms).filter((room) => !rooms.has(room));
  const limitOf = (/** @type {string} */ folder) => (folder === 'methods' ? budgets.method : budgets.file);
  return [
    ...files
      .filter((file) => file.lines > limitOf(file.folder))
      .map((file) => at(file, 'size', limitOf(file.folder) + 1, `${file.lines} lines; the limit is ${limitOf(file.folder)}`)),
    ...[...rooms].flatMap((room) => {
      const lines = totalLines(files.filter(({ path }) => roomOf(path) === room));
      return checkTotal(`${room}/`, lines, budgets.rooms[room]);
    }),
    ...empty.map((room) => problem('size', TABLE, 1, `${room}/ has a budget but no file`)),
    ...checkTotal('the engine', totalLines(files.filter(({ path }) => inEngine(path))), budgets.engine),
  ];
}

/**
 * @param {string} what
 * @param {number} lines
 * @param {number | undefined} budget
 */
function checkTotal(what, lines, budget) {
  if (budget === undefined) return [problem('size', TABLE, 1, `${what} has no budget; it has ${lines} lines`)];
  return lines <= budget ? [] : [problem('size', TABLE, 1, `${what} has ${lines} lines; the budget is ${budget}`)];
}
