import { type Files, fail, readText } from '../../base/index.ts';
import { loadRows, loadTask, passagesOf, type Row, type Split, type Task, textsOf } from '../../tasks/index.ts';
import type { Sample } from './words.ts';

/**
 * Texts to pretrain on, each once: lines of .txt files, and the training rows of task folders. Nothing that stands in a
 * validation or test row of the tasks under `unseen` is let through, whole or as one of its sentences.
 * @throws task.empty, and what reading files and tasks throws
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
    for (const sample of path.endsWith('.txt') ? await lines(files, path) : await trainingTexts(files, path)) {
      const key = sample.map(normal).join('\u0000');
      if (/^\0?$/.test(key) || seen.has(key)) continue;
      seen.add(key);
      if (sample.some((text) => sentences(text).some((sentence) => held.has(sentence)))) dropped++;
      else samples.push(sample);
    }
  if (samples.length === 0)
    fail({
      code: 'task.empty',
      subject: paths.join(', ') || 'the texts to learn from',
      found: dropped ? `no text that is not in a validation or test row (${dropped} left out)` : 'no text',
      expected: '.txt files or task folders with training rows',
      next: 'Add text with --data.',
    });
  return { samples, dropped };
}

async function lines(files: Files, path: string): Promise<Sample[]> {
  return (await readText(files, path)).split(/\r?\n/).map((line): Sample => [line.trim()]);
}

async function trainingTexts(files: Files, path: string): Promise<Sample[]> {
  const task = await loadTask(files, path);
  if (task.files.train === undefined)
    fail({ code: 'task.empty', subject: path, found: 'no training rows', expected: 'a train split', next: 'Leave it out of --data.' });
  return (await loadRows(files, task, 'train')).flatMap(samplesOf);
}

/** What to learn from a row; long texts become pieces. */
function samplesOf(row: Row): Sample[] {
  return passagesOf(row).flatMap(({ texts, cuts }): Sample[] => {
    if (!cuts) return [texts];
    const [first, ...rest] = pieces(texts.at(-1) as string) as [string, ...string[]];
    return [[...texts.slice(0, -1), first] as unknown as Sample, ...rest.map((text): Sample => [text])];
  });
}

/** Sentences of a piece. */
const PIECE = 3;

/** A text as pieces of a few sentences; at least one. */
function pieces(text: string): string[] {
  const parts = split(text);
  return Array.from({ length: Math.max(1, Math.ceil(parts.length / PIECE)) }, (_, i) => parts.slice(i * PIECE, (i + 1) * PIECE).join(' '));
}

function split(text: string): string[] {
  return text.split(/(?<=[.!?]["')]?)\s+/).filter((part) => part.trim() !== '');
}

/** Normalized sentences of every validation and test row. */
async function heldOut(files: Files, folders: readonly string[]): Promise<Set<string>> {
  const held = new Set<string>();
  for (const folder of folders) {
    const task = await loadTask(files, folder);
    for (const part of ['validation', 'test'] as const)
      for (const row of await rowsOf(files, task, part)) for (const sentence of textsOf(row).flatMap(sentences)) held.add(sentence);
  }
  return held;
}

async function rowsOf(files: Files, task: Task, part: Split): Promise<Row[]> {
  return task.files[part] === undefined ? [] : loadRows(files, task, part);
}

/** Sentences with fewer words, such as "Yes.", stand in many texts: they may be learnt from. */
const WORDS = 4;

/** The text and its sentences, normalized, as far as they are long enough to be recognised. */
function sentences(text: string): string[] {
  return [text, ...split(text)].map(normal).filter((sentence) => sentence.split(' ').length >= WORDS);
}

function normal(text: string): string {
  return text
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}]+/gu, ' ')
    .trim();
}
