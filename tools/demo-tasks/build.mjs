/**
 * Writes the demo tasks to assets/tasks: node tools/demo-tasks/build.mjs [--near ../shared/data] [--floors FILE] [--output DIR]
 *
 * Every sentence comes from the templates and word lists beside this file; the same seed gives the same bytes. `--near` adds the
 * count of near-duplicates in other task folders to the cards, `--floors` the scores of tools/baselines/tfidf.py.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { nearDuplicates } from '../near-duplicates.mjs';
import { faqMatch } from './faq.mjs';
import { dice } from './grammar.mjs';
import { orderSlots } from './orders.mjs';
import { reviewScore } from './reviews.mjs';
import { ticketsTopic, ticketsUrgency } from './tickets.mjs';

const SEED = 5;
const TASKS = [
  {
    name: 'tickets_topic',
    kind: 'classification',
    metric: 'accuracy',
    make: ticketsTopic,
    train: 1000,
    about: 'What a support ticket asks for; remarks about other matters are distractors.',
  },
  {
    name: 'tickets_urgency',
    kind: 'classification',
    metric: 'accuracy',
    make: ticketsUrgency,
    train: 800,
    order: ['low', 'normal', 'high'],
    about: 'How urgent a support ticket is; cues are often negated, and mood says nothing.',
  },
  {
    name: 'faq_match',
    kind: 'classification',
    metric: 'accuracy',
    make: faqMatch,
    train: 1000,
    order: ['no_match', 'match'],
    about: 'Whether a question and a help-page entry mean the same; shared words mislead.',
  },
  {
    name: 'order_slots',
    kind: 'tagging',
    metric: 'span_f1',
    make: orderSlots,
    train: 600,
    about: 'Product, quantity, date and place in orders, as BIO tags.',
  },
  {
    name: 'review_score',
    kind: 'regression',
    metric: 'pearson',
    make: reviewScore,
    train: 900,
    about: 'A score from 1 to 5 for a short review with negation, degrees and contrast.',
  },
];

const { values: flags } = parseArgs({ options: { near: { type: 'string' }, floors: { type: 'string' }, output: { type: 'string' } } });
const assets = flags.output === undefined ? new URL('../../assets/tasks/', import.meta.url) : pathToFileURL(`${flags.output}/`);
const floors = flags.floors === undefined ? {} : JSON.parse(readFileSync(flags.floors, 'utf8')).tasks;
const built = TASKS.map((task) => ({ ...task, splits: task.make({ train: task.train, validation: 200, test: 400 }, dice(SEED)) }));
const near =
  flags.near === undefined
    ? {}
    : nearDuplicates(Object.fromEntries(built.map(({ name, splits }) => [name, Object.values(splits).flat()])), flags.near);

for (const { name, kind, metric, about, order, splits } of built) {
  const folder = new URL(`${name}/`, assets);
  mkdirSync(folder, { recursive: true });
  const labels = kind === 'regression' ? null : (order ?? [...new Set(splits.train.flatMap((row) => row.tags ?? row.label))].sort());
  const card = {
    name,
    kind,
    labels,
    metric,
    description: about,
    language: 'en',
    author: 'The Multigraft authors',
    licence: 'Apache-2.0',
    generator: 'tools/demo-tasks/build.mjs',
    seed: SEED,
    sizes: Object.fromEntries(Object.entries(splits).map(([split, rows]) => [split, rows.length])),
    splits:
      'Templates and word lists are divided: test rows use sentence frames never seen in training, and words and phrases of which about half were never seen.',
    floor: { ...floorOf(kind, splits), ...(floors[name] && { tfidf: floors[name].test, tfidfSettings: floors[name] }) },
    ...(near[name] && { nearDuplicates: near[name] }),
  };
  writeFileSync(new URL('card.json', folder), `${JSON.stringify(card, null, 2)}\n`);
  for (const [split, rows] of Object.entries(splits))
    writeFileSync(new URL(`${split}.jsonl`, folder), rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
}

/** What no learning reaches: the most frequent label, or tag, of the training rows. */
function floorOf(kind, splits) {
  if (kind === 'regression') return {};
  const answers = (rows) => rows.flatMap((row) => row.tags ?? [row.label]);
  const tally = new Map();
  for (const answer of answers(splits.train)) tally.set(answer, (tally.get(answer) ?? 0) + 1);
  const [majority] = [...tally].sort((a, b) => b[1] - a[1])[0];
  const test = answers(splits.test);
  return { majority: Math.round((1e4 * test.filter((answer) => answer === majority).length) / test.length) / 1e4 };
}
