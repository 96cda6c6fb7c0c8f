import { fail } from '../base/errors.ts';
import { type Files, readText } from '../base/files.ts';
import { loadRows, loadTask, type Row, type Split } from '../tasks/index.ts';
import type { Sample } from './words.ts';

/**
 * Texts to pretrain on: lines of .txt files, and the training rows of task folders. Nothing that stands in a validation or
 * test row of the tasks under `unseen` is let through, whole or as one of its sentences.
 */
export async function loadCorpus(
  files: Files,
  paths: readonly string[],
  unseen: readonly string[],
): Promise<{ samples: Sample[]; dropped: number }> {
  const held = await heldOut(files, unseen);
  const samples: Sample[] = [];
  const seen = new Set<string>();
  let dropped = 0;
  for (const path of paths)
    for (const sample of path.endsWith('.txt') ? await lines(files, path) : await taskTexts(files, path)) {
      const key = sample.map(normal).join('\u0000');
      if (key === '' || seen.has(key)) continue;
      seen.add(key);
      if (sample.some((text) => sentences(text).some((one) => held.has(one)))) dropped++;
      else samples.push(sample);
    }
  if (samples.length === 0)
    fail({ code: 'task.empty', subject: paths.join(', '), found: 'no text', expected: '.txt files or task folders with training rows' });
  return { samples, dropped };
}

async function lines(files: Files, path: string): Promise<Sample[]> {
  return (await readText(files, path)).split(/\r?\n/).map((line): Sample => [line.trim()]);
}

async function taskTexts(files: Files, path: string, split: Split = 'train'): Promise<Sample[]> {
  const task = await loadTask(files, path);
  return task.files[split] === undefined ? [] : (await loadRows(files, task, split)).flatMap(textsOf);
}

/** A row as texts: pairs stay pairs, long contexts become sentences three at a time. */
function textsOf(row: Row): Sample[] {
  switch (row.kind) {
    case 'tagging':
      return [[row.tokens.join(' ')]];
    case 'choice':
      return [[row.text, row.choices[row.label] as string]];
    case 'span':
      return [[row.question], ...pieces(row.context)];
    default:
      return row.textPair === undefined
        ? pieces(row.text)
        : [
            [row.text, ...(pieces(row.textPair)[0] as readonly string[])].slice(0, 2) as unknown as Sample,
            ...pieces(row.textPair).slice(1),
          ];
  }
}

const SENTENCES = 3;

function pieces(text: string): Sample[] {
  const parts = split(text);
  return Array.from(
    { length: Math.max(1, Math.ceil(parts.length / SENTENCES)) },
    (_, i): Sample => [parts.slice(i * SENTENCES, (i + 1) * SENTENCES).join(' ')],
  );
}

function split(text: string): string[] {
  return text.split(/(?<=[.!?]["')]?)\s+/).filter((part) => part.trim() !== '');
}

/** Normalised sentences of every validation and test row. */
async function heldOut(files: Files, folders: readonly string[]): Promise<Set<string>> {
  const held = new Set<string>();
  for (const folder of folders)
    for (const part of ['validation', 'test'] as const)
      for (const texts of await taskTextsWhole(files, folder, part))
        for (const text of texts) for (const sentence of sentences(text)) held.add(sentence);
  return held;
}

async function taskTextsWhole(files: Files, path: string, part: Split): Promise<string[][]> {
  const task = await loadTask(files, path);
  if (task.files[part] === undefined) return [];
  return (await loadRows(files, task, part)).map((row) => {
    if (row.kind === 'tagging') return [row.tokens.join(' ')];
    if (row.kind === 'choice') return [row.text, ...row.choices];
    if (row.kind === 'span') return [row.question, row.context];
    return row.textPair === undefined ? [row.text] : [row.text, row.textPair];
  });
}

/** Sentences too short to be anybody's are let pass, such as "Yes." */
const WORDS = 4;

/** The text and its sentences, normalised, as far as they are long enough to be recognised. */
function sentences(text: string): string[] {
  return [text, ...split(text)].map(normal).filter((one) => one.split(' ').length >= WORDS);
}

function normal(text: string): string {
  return text
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}]+/gu, ' ')
    .trim();
}
