import { fail } from '../base/errors.ts';
import type { HeadTraining } from '../checkpoint/index.ts';
import type { Encoder } from '../encoders/index.ts';
import type { Head, HeadConfig, HeadType } from '../objectives/index.ts';
import type { Row, Task, TaskKind } from '../tasks/index.ts';
import type { Tokenizer } from '../text/index.ts';
import { maxTokens } from './data.ts';

/** The head that suits a kind of task, with the Python library's defaults. Throws `task.row` when choices differ in number. */
export function headFor(task: Task, name: string, rows: readonly Row[], layers?: number): Head {
  const TYPES: Readonly<Record<TaskKind, HeadType>> = {
    classification: 'classification',
    regression: 'classification',
    multilabel: 'multilabel_classification',
    tagging: 'tagging',
    span: 'question_answering',
    choice: 'multiple_choice',
  };
  const perToken = task.kind === 'tagging' || task.kind === 'span';
  const counts = new Set(rows.flatMap((row) => (row.kind === 'choice' ? [row.choices.length] : [])));
  if (counts.size > 1)
    fail({
      code: 'task.row',
      subject: task.name,
      found: `rows of ${[...counts].join(' and ')} choices`,
      expected: 'the same number in every row',
    });
  const [choices] = counts;
  const config: HeadConfig = {
    head_type: TYPES[task.kind],
    ...(choices === undefined
      ? { num_labels: task.kind === 'regression' ? 1 : task.kind === 'span' ? 2 : task.labels.length }
      : { num_choices: choices }),
    layers: layers ?? (perToken ? 1 : 2),
    activation_function: 'tanh',
    label2id: task.labels.length ? Object.fromEntries(task.labels.map((label, i) => [label, i])) : null,
    use_pooler: false,
    bias: true,
    dropout_prob: null,
  };
  return { name, config };
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
  usual = kind === 'span' ? 384 : 128,
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
