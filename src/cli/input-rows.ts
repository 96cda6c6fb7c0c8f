import { resolve } from 'node:path';
import { fail, memoryFiles } from '../base/index.ts';
import { readTable } from '../formats/table.ts';
import type { CommandContext } from './command.ts';

interface Asked {
  readonly texts: readonly string[];
  readonly input?: string | undefined;
  /** The column of the text. */
  readonly text?: string | undefined;
  /** The command that asks, 'predict' when left out. */
  readonly command?: string;
}

const STDIN = 'stdin.jsonl';

/** A row as it was read, and where it stands. */
export interface InputRow {
  readonly line: number;
  readonly value: Record<string, unknown>;
}

/** What was asked: texts, a file of rows, or standard input. @throws usage.flag, file.*, task.empty */
export async function readRows(
  { files, stdin }: CommandContext,
  { texts, input, text = 'text', command = 'predict' }: Asked,
): Promise<InputRow[]> {
  if (texts.length > 0 && input !== undefined)
    fail({ code: 'usage.flag', subject: `multigraft ${command}`, found: 'both --input and texts', expected: 'one of them' });
  if (texts.length > 0) return texts.map((value, i) => ({ line: i + 1, value: { [text]: value } }));
  if (input === undefined)
    return fail({
      code: 'usage.flag',
      subject: `multigraft ${command}`,
      found: 'nothing to answer',
      expected: '--input FILE, --input - or texts',
      next: `See multigraft ${command} --help.`,
    });
  if (input !== '-' && (await files.kind(input)) === 'folder')
    fail({
      code: 'file.unreadable',
      subject: input,
      found: 'a folder',
      expected: 'a file of rows',
      next: command === 'predict' ? 'For the score on a task folder use multigraft evaluate.' : 'Give one of the files in it.',
    });
  const rows = input === '-' ? await readTable(memoryFiles({ [STDIN]: await stdin() }), STDIN) : await readTable(files, input);
  if (rows.length === 0) fail({ code: 'task.empty', subject: input === '-' ? STDIN : input, found: 'no rows', expected: 'at least one' });
  return rows;
}

/** The name of what the rows came from. */
export function sourceOf({ texts, input }: Asked): string {
  return texts.length > 0 ? 'text' : input === '-' ? STDIN : (input ?? '');
}

/** Finds out before any work whether the output can be written. */
export async function checkOutput(
  { files }: CommandContext,
  { input, output }: Pick<Asked, 'input'> & { readonly output: string },
): Promise<void> {
  if (input !== undefined && resolve(input) === resolve(output))
    fail({ code: 'usage.value', subject: '--output', found: `${output}, which --input reads`, expected: 'another file' });
  const before = await files.kind(output);
  if (before === 'folder')
    fail({
      code: 'file.unreadable',
      subject: '--output',
      found: `${output}, a folder`,
      expected: 'a file',
      next: `Give --output ${output.replace(/\/$/, '')}/answers.jsonl.`,
    });
  await files.append(output, '');
  if (before === 'none') await files.remove(output);
}
