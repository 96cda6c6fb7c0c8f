import { fail } from '../base/index.ts';
import type { HeadTraining } from '../checkpoint/index.ts';
import { type Encoder, usualPooling } from '../encoders/index.ts';
import type { Pooling } from '../nn/index.ts';
import { createHead, type Head, type HeadKind, kindForTask, withPooling } from '../objectives/index.ts';
import type { Row, Task, TaskKind } from '../tasks/index.ts';
import type { Tokenizer } from '../text/index.ts';
import { maxTokens } from './encoder-inputs.ts';

/**
 * The head that suits a task, with the Python library's defaults; `layers` are its linears.
 * @throws task.row when choices differ in number; head.config for a task without labels
 */
export function headFor(task: Task, name: string, rows: readonly Row[], layers?: number, kinds?: readonly HeadKind[]): Head {
  const kind = kindForTask(task.kind, kinds);
  const config = { head_type: kind.type, ...kind.defaults(task, rows), ...(layers !== undefined && { layers }) };
  return createHead(name, config, `head '${name}'`, kinds);
}

/**
 * A head made for an encoder: it reads of each sequence what was asked for, or what the folder of a sentence encoder says, where it
 * reads one vector of each. @throws usage.value for a head that reads every token; encoder.config for a pooling that is not available here
 */
export function pooledHead(head: Head, { sentence }: Pick<Encoder, 'sentence'>, asked: Pooling | undefined): Head {
  const pooling = asked ?? (head.kind.pools && usualPooling(sentence));
  return pooling === undefined ? head : withPooling(head, pooling);
}

/**
 * A head that is to be solved, of vectors of length one where the folder of a sentence encoder divides them by their length: one penalty
 * then means the same for all rows. Where the vector is one that Python's heads read, they read it as it is.
 */
export function normalisedHead(head: Head, { sentence }: Pick<Encoder, 'sentence'>): Head {
  return sentence?.normalizes && head.config.pooling !== undefined ? { ...head, config: { ...head.config, normalize: true } } : head;
}

/** An encoder that can begin parameters with words of a text. */
export function withTokenizer(encoder: Encoder, tokenizer: Tokenizer): Encoder {
  return { ...encoder, tokenize: (text) => [...tokenizer.encode(text).inputIds] };
}

/**
 * Tokens per sequence: what was asked, or `usual`, else 128 (384 for spans), and never more than the encoder takes, or what is
 * attached to it (`mostTokens`). @throws usage.value
 */
export function sequenceLength(
  encoder: Encoder,
  tokenizer: Tokenizer,
  asked: number | undefined,
  kind: TaskKind,
  usual = kindForTask(kind).usualLength,
  mostTokens = Number.POSITIVE_INFINITY,
): number {
  const positions = Math.min(maxTokens(encoder), tokenizer.modelMaxLength);
  const most = Math.min(positions, mostTokens);
  if (asked !== undefined && asked > most)
    fail({
      code: 'usage.value',
      subject: '--max-length',
      found: String(asked),
      expected: `at most ${most}: ${most < positions ? 'the max_length of its CA-MTL modules' : `${encoder.name} has no more positions`}`,
    });
  return asked ?? Math.min(usual, most);
}

/** What goes with a head that was trained on these rows. */
export function trainingOf(rows: readonly Row[], maxLength: number): HeadTraining {
  const textPairs = rows.every((row) => 'textPair' in row && row.textPair !== undefined);
  return { maxLength, ...(textPairs && { textPairs }) };
}

/** One rate of dropout in place of all that the encoder has, those that only its family knows too: their names end so. */
export function withDropout(encoder: Encoder, p: number | undefined): Encoder {
  if (p === undefined) return encoder;
  const rates = Object.keys(encoder.config).filter((name) => name.endsWith('Dropout'));
  return { ...encoder, config: { ...encoder.config, ...Object.fromEntries(rates.map((name) => [name, p])) } };
}
