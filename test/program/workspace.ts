import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { trainWordPiece, wordPieceTokenizerJson } from '../../src/text/index.ts';
import { runHere } from './here.ts';

const golden = join(import.meta.dirname, '..', 'golden', 'encoders');

export interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** A folder with tiny encoders, tasks and whatever a test writes, and the program running in it. */
export interface Workspace {
  readonly root: string;
  path(...parts: string[]): string;
  write(path: string, content: string | Uint8Array | object): string;
  read(path: string): string;
  /** Runs one command line in this process; paths that begin with @ lie in the workspace. */
  run(words: readonly string[], stdin?: string): Promise<Outcome>;
  remove(): void;
}

export function createWorkspace(): Workspace {
  const root = mkdtempSync(join(tmpdir(), 'multigraft-program-'));
  const path = (...parts: string[]) => join(root, ...parts);
  const write = (name: string, content: string | Uint8Array | object) => {
    mkdirSync(dirname(path(name)), { recursive: true });
    writeFileSync(path(name), typeof content === 'string' || content instanceof Uint8Array ? content : JSON.stringify(content));
    return path(name);
  };
  const workspace: Workspace = {
    root,
    path,
    write,
    read: (name) => readFileSync(path(name), 'utf8'),
    async run(words, stdin = '') {
      const argv = words.map((word) => (word.startsWith('@') ? path(word.slice(1)) : word));
      const { code, stdout, stderr } = await runHere(argv, stdin);
      const lines = (text: string) => text.replace(/\n$/, '');
      return { code, out: lines(stdout), err: lines(stderr).replaceAll(`${root}/`, '@') };
    },
    remove: () => rmSync(root, { recursive: true, force: true }),
  };
  for (const family of ['bert', 'distilbert']) writeEncoder(workspace, family);
  writeTasks(workspace);
  return workspace;
}

/** An encoder of the golden tests with a tokenizer learnt from a few words; its vocabulary has 120 tokens at most. */
function writeEncoder({ path, write }: Workspace, family: string): void {
  cpSync(join(golden, family), path(family), { recursive: true });
  const { tokenizer, config } = wordPieceTokenizerJson(
    trainWordPiece(SENTENCES, { vocabularySize: 100, lowercase: true, alphabetSize: 40 }),
    { lowercase: true, modelMaxLength: 40 },
  );
  write(`${family}/tokenizer.json`, tokenizer as object);
  write(`${family}/tokenizer_config.json`, config as object);
}

const SENTENCES = [
  'the day was good',
  'the night was bad',
  'a good book and a bad film',
  'we had rain and sun',
  'good sun, bad rain',
  'where is the book',
];
const GOOD = ['the day was good', 'a good book', 'good sun today', 'a good film'];
const BAD = ['the night was bad', 'a bad book', 'bad rain today', 'a bad film'];

function writeTasks({ write }: Workspace): void {
  const lines = (rows: readonly object[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join('');
  const task = (name: string, card: object, rows: readonly object[]) => {
    write(`tasks/${name}/card.json`, { name, ...card });
    for (const split of ['train', 'validation', 'test']) write(`tasks/${name}/${split}.jsonl`, lines(rows));
  };
  task('mood', { kind: 'classification', labels: ['good', 'bad'] }, [
    ...GOOD.map((text) => ({ text, label: 'good' })),
    ...BAD.map((text) => ({ text, label: 'bad' })),
  ]);
  task(
    'pairs',
    { kind: 'classification', labels: ['no', 'yes'] },
    GOOD.map((text, i) => ({ text, textPair: BAD[i], label: i % 2 ? 'yes' : 'no' })),
  );
  task(
    'many',
    { kind: 'multilabel', labels: ['sun', 'rain', 'book'] },
    [...GOOD, ...BAD].map((text) => ({ text, label: ['sun', 'rain', 'book'].filter((word) => text.includes(word)) })),
  );
  task(
    'score',
    { kind: 'regression' },
    [...GOOD, ...BAD].map((text, i) => ({ text, label: 5 - i / 2 })),
  );
  task(
    'words',
    { kind: 'tagging', labels: ['O', 'B-thing'] },
    [...GOOD, ...BAD].map((text) => ({
      tokens: text.split(' '),
      tags: text.split(' ').map((word) => (/book|film|sun|rain/.test(word) ? 'B-thing' : 'O')),
    })),
  );
  task(
    'choose',
    { kind: 'choice' },
    GOOD.map((text, i) => ({ text, choices: i % 2 ? ['good', 'bad', 'sun'] : ['bad', 'good', 'rain'], label: i % 2 ? 0 : 1 })),
  );
  task(
    'spans',
    { kind: 'span' },
    GOOD.map((context) => ({ context, question: 'where is good', answers: [{ text: 'good', start: context.indexOf('good') }] })),
  );
}
