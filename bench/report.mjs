// @ts-check

/**
 * One line of the table. `ratio` is the median over rounds of ours ÷ theirs in that round.
 * @typedef {{ median: number, min: number, values: number[] }} Side
 * @typedef {{ name: string, unit: string, ours: Side, theirs?: Side, ratio?: number, targetRatio?: number, target?: number }} Result
 */

/**
 * @param {string} name
 * @param {string} unit
 * @param {{ ours: readonly (number | null)[], theirs: readonly (number | null)[] }} values one of each side per round
 * @param {number} [targetRatio] of ours to theirs
 * @param {number} [target] for ours alone, in `unit`
 * @returns {Result}
 */
export function summarize(name, unit, values, targetRatio, target) {
  const [ours, theirs] = [sideOf(values.ours), sideOf(values.theirs)];
  const ratio =
    theirs.values.length > 0 ? median(ours.values.map((value, i) => value / /** @type {number} */ (theirs.values[i]))) : undefined;
  return {
    name,
    unit,
    ours,
    ...(ratio !== undefined && { theirs, ratio: Math.round(ratio * 1000) / 1000 }),
    ...(targetRatio !== undefined && { targetRatio }),
    ...(target !== undefined && { target }),
  };
}

/** @param {readonly Result[]} results */
export function renderTable(results) {
  const header = ['', 'ours', 'best', 'adapters', 'best', 'ratio', 'target'];
  const rows = results.map(({ name, unit, ours, theirs, ratio, targetRatio, target }) => [
    name,
    `${show(ours.median)} ${unit}`,
    show(ours.min),
    theirs ? `${show(theirs.median)} ${unit}` : '–',
    theirs ? show(theirs.min) : '–',
    ratio === undefined ? '–' : ratio.toFixed(2),
    targetRatio !== undefined ? `≤ ${targetRatio} ×` : target !== undefined ? `< ${target} ${unit}` : '–',
  ]);
  return align([header, ...rows]);
}

/**
 * Columns of equal width, the first to the left, the others to the right.
 * @param {readonly (readonly string[])[]} rows
 */
export function align(rows) {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const pad = (/** @type {string} */ cell, /** @type {number} */ i) =>
    i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0);
  return rows.map((row) => row.map(pad).join('  ').trimEnd()).join('\n');
}

/** @param {readonly number[]} values */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
}

/** @param {readonly (number | null)[]} measured */
function sideOf(measured) {
  const values = measured.filter((value) => value !== null).map((value) => Math.round(value * 100) / 100);
  return { median: median(values), min: Math.min(...values), values };
}

/** @param {number} value */
function show(value) {
  return value >= 100 ? value.toFixed(0) : value.toFixed(1);
}
