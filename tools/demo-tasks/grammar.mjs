/**
 * Texts from templates, split so that a test row needs more than remembered wording.
 *
 * A template holds `(a|b|c)` alternatives and `{slot}` fillers. Lists are divided by position: of every five entries the
 * fourth is kept for validation and the fifth for test; the last of three or more alternatives is kept for test.
 */

/** @typedef {'train' | 'validation' | 'test'} Split */
/** @typedef {{ uniform: () => number, below: (n: number) => number, pick: <T>(items: readonly T[]) => T, shuffle: <T>(items: T[]) => T[] }} Dice */

/** @param {number} seed @returns {Dice} */
export function dice(seed) {
  let state = seed | 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (n) => Math.floor(uniform() * n);
  const pick = (items) => items[below(items.length)];
  const shuffle = (items) => {
    for (let i = items.length - 1; i > 0; i--) {
      const j = below(i + 1);
      [items[i], items[j]] = [items[j], items[i]];
    }
    return items;
  };
  return { uniform, below, pick, shuffle };
}

const SHARE = { train: [0, 1, 2], validation: [3], test: [4] };

/** The entries of a list that belong to a split alone. @template T @param {readonly T[]} items @param {Split} split @returns {T[]} */
export function own(items, split) {
  return items.filter((_, i) => SHARE[split].includes(i % 5));
}

/** One of the split's own entries; outside training, with chance `seen`, one of training's. */
export function choose(items, split, d, seen = 0) {
  const from = split !== 'train' && d.uniform() < seen ? 'train' : split;
  const entries = own(items, from);
  return d.pick(entries.length > 0 ? entries : items);
}

/** @param {string} template @param {Split} split @param {Dice} d @param {Record<string, readonly string[]>} slots */
export function expand(template, split, d, slots = {}) {
  let text = template;
  for (let before = ''; before !== text; ) {
    before = text;
    text = text.replace(/\(([^()]*\|[^()]*)\)/g, (_, body) => {
      const options = body.split('|');
      return d.pick(split === 'test' || options.length < 3 ? options : options.slice(0, -1));
    });
    text = text.replace(/\{(\w+)\}/g, (whole, name) => (slots[name] ? choose(slots[name], split, d, 0.4) : whole));
  }
  return text.replace(/\s+/g, ' ').trim();
}

/** Capital letters at sentence starts and for the word I. @param {string} text */
export function sentenceCase(text) {
  return text.replace(/(^|[.!?] )([a-z])/g, (_, before, letter) => before + letter.toUpperCase()).replace(/\bi\b/g, 'I');
}

/** What people do to text in a hurry, on a few rows: no capitals, no full stop, a letter swapped. */
export function roughen(text, d) {
  let rough = text;
  if (d.uniform() < 0.12) rough = rough.toLowerCase();
  if (d.uniform() < 0.15) rough = rough.replace(/\.$/, '');
  if (d.uniform() < 0.12) {
    const words = rough.split(' ');
    const at = d.below(words.length);
    const word = words[at];
    if (/^[a-z]{6,}$/.test(word)) words[at] = word.slice(0, 2) + word[3] + word[2] + word.slice(4);
    rough = words.join(' ');
  }
  return rough;
}

/**
 * Rows of the three splits, none twice. `make(split, i)` gives the i-th candidate row; `key(row)` what must differ.
 * @template R @param {Record<Split, number>} sizes @param {(split: Split, i: number) => R} make @param {(row: R) => string} key @param {Dice} d
 * @returns {Record<Split, R[]>}
 */
export function fill(sizes, make, key, d) {
  const seen = new Set();
  const result = /** @type {Record<Split, R[]>} */ ({});
  for (const split of /** @type {const} */ (['train', 'validation', 'test'])) {
    const rows = [];
    for (let tries = 0; rows.length < sizes[split]; tries++) {
      if (tries > 200 * sizes[split]) throw new Error(`only ${rows.length} distinct ${split} rows`);
      const row = make(split, rows.length);
      const mark = key(row)
        .toLowerCase()
        .replace(/[^a-z0-9]+/g, ' ');
      if (seen.has(mark)) continue;
      seen.add(mark);
      rows.push(row);
    }
    result[split] = d.shuffle(rows);
  }
  return result;
}
