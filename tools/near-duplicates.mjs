/**
 * Counts rows that share wording with rows of other task folders: node tools/near-duplicates.mjs OURS_FOLDER OTHERS_FOLDER
 *
 * Text is lower-cased and reduced to words. A row is near another when, for texts of 8 words or more, they share an 8-word
 * sequence; and in any case when more than half of its 5-word sequences (of all its words, if it has fewer than 5) stand in one text of another row;
 * texts of five words or fewer are compared only with texts of at most ten.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const LONG = 8;
const SHORT = 5;

/**
 * @param {Record<string, object[]>} ours rows by task @param {string} others folder of task folders
 * @returns {Record<string, { rowsChecked: number, against: { tasks: number, rows: number }, sharedEightWords: number, mostOfFiveWords: number, method: string }>}
 */
export function nearDuplicates(ours, others) {
  const index = indexOurs(ours);
  const shared = new Set();
  const half = new Set();
  let rows = 0;
  const tasks = readdirSync(others, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  for (const task of tasks) {
    for (const file of readdirSync(join(others, task.name)).filter((name) => name.endsWith('.jsonl'))) {
      for (const row of readRows(join(others, task.name, file))) {
        rows += 1;
        compare(index, wordsOf(row), shared, half);
      }
    }
  }
  const count = (set, name) => [...set].filter((id) => index.rows[id].task === name).length;
  return Object.fromEntries(
    Object.entries(ours).map(([name, list]) => [
      name,
      {
        rowsChecked: list.length,
        against: { tasks: tasks.length, rows },
        sharedEightWords: count(shared, name),
        mostOfFiveWords: count(half, name),
        method: 'tools/near-duplicates.mjs',
      },
    ]),
  );
}

function indexOurs(ours) {
  const rows = [];
  const long = new Map();
  const short = new Map();
  const put = (map, key, id) => (map.has(key) ? map.get(key).push(id) : map.set(key, [id]));
  for (const [task, list] of Object.entries(ours)) {
    for (const row of list) {
      for (const words of wordsOf(row)) {
        const id = rows.length;
        const fives = new Set(grams(words, Math.min(SHORT, words.length)));
        rows.push({ task, fives: fives.size });
        for (const gram of new Set(grams(words, LONG))) put(long, gram, id);
        for (const gram of fives) put(short, gram, id);
      }
    }
  }
  return { rows, long, short };
}

function compare(index, texts, shared, half) {
  for (const words of texts) {
    for (const gram of grams(words, LONG)) for (const id of index.long.get(gram) ?? []) shared.add(id);
    const hits = new Map();
    // Our texts of fewer than five words are indexed whole, under their own length.
    for (let n = 1; n <= SHORT; n++)
      for (const gram of new Set(grams(words, n))) for (const id of index.short.get(gram) ?? []) hits.set(id, (hits.get(id) ?? 0) + 1);
    for (const [id, count] of hits)
      if (2 * count > index.rows[id].fives && (index.rows[id].fives > 1 || words.length <= 2 * SHORT)) half.add(id);
  }
}

function grams(words, n) {
  const result = [];
  for (let i = 0; i + n <= words.length; i++) result.push(words.slice(i, i + n).join(' '));
  return result;
}

/** The texts of a row of any kind, as lists of words. */
function wordsOf(row) {
  const texts = row.tokens ? [row.tokens.join(' ')] : [row.text, row.textPair, row.context, row.question, ...(row.choices ?? [])];
  return texts
    .filter((text) => typeof text === 'string')
    .map((text) => text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [])
    .filter((words) => words.length > 0);
}

function readRows(path) {
  return readFileSync(path, 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line));
}

if (process.argv[1] !== undefined && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const [ours, others] = process.argv.slice(2);
  if (ours === undefined || others === undefined) {
    process.stderr.write('usage: node tools/near-duplicates.mjs OURS_FOLDER OTHERS_FOLDER\n');
    process.exit(2);
  }
  const rows = Object.fromEntries(
    readdirSync(ours).map((name) => [
      name,
      ['train', 'validation', 'test'].flatMap((split) => readRows(join(ours, name, `${split}.jsonl`))),
    ]),
  );
  process.stdout.write(`${JSON.stringify(nearDuplicates(rows, others), null, 2)}\n`);
}
