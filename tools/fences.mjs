// @ts-check
/**
 * The fences of src/: which file may know what, and how large things may grow; a file for each in fences/. Run by
 * test/contract/fences.test.ts, or by hand: `node tools/fences.mjs`. Test files are exempt: they may look at anything.
 */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BUDGETS } from './fences/budgets.mjs';
import { checkCycles } from './fences/cycles.mjs';
import { checkDependencies } from './fences/dependencies.mjs';
import { checkDoors } from './fences/doors.mjs';
import { checkEngine } from './fences/engine.mjs';
import { checkLayout } from './fences/layout.mjs';
import { checkOrder } from './fences/order.mjs';
import { checkPlatform } from './fences/platform.mjs';
import { checkRooms } from './fences/rooms.mjs';
import { checkSize } from './fences/size.mjs';
import { checkState } from './fences/state.mjs';
import { readTree } from './fences/tree.mjs';

export { BUDGETS, ENGINE } from './fences/budgets.mjs';

const FENCES = [
  checkLayout,
  checkOrder,
  checkDoors,
  checkRooms,
  checkEngine,
  checkPlatform,
  checkState,
  checkDependencies,
  checkCycles,
  checkSize,
];

/**
 * @param {string} root folder that holds src/ and package.json
 * @param {import('./fences/budgets.mjs').Budgets} budgets
 * @returns {{ violations: import('./fences/tree.mjs').Violation[], files: number, imports: number }}
 */
export function checkFences(root, budgets = BUDGETS) {
  const tree = readTree(root);
  return {
    violations: FENCES.flatMap((check) => check(tree, budgets)),
    files: tree.files.length,
    imports: tree.files.flatMap((file) => file.imports).length,
  };
}

/** @param {import('./fences/tree.mjs').Violation} violation */
export function describe({ rule, file, line, message }) {
  return `${file}:${line} [${rule}] ${message}`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { violations, files, imports } = checkFences(join(import.meta.dirname, '..'));
  for (const violation of violations) console.error(describe(violation));
  console.log(`${files} files, ${imports} imports, ${violations.length} violations`);
  process.exitCode = violations.length > 0 ? 1 : 0;
}
