import type { Encoder } from '../../encoders/index.ts';
import type { CaMtlReport } from '../../methods/index.ts';
import type { Pooling } from '../../nn/index.ts';
import type { Task } from '../../tasks/index.ts';
import { READS } from '../card.ts';
import type { Score } from '../keep-best.ts';
import type { ChosenRows } from './chosen.ts';
import type { Beginning, MultiTaskMethod } from './method.ts';
import type { MultiTaskSettings } from './settings.ts';

export interface TaskSummary {
  readonly name: string;
  readonly task: string;
  readonly kind: Task['kind'];
  readonly metric: Task['metric'];
  /** Training rows. */
  readonly rows: number;
  /** Rows of the train file that were left out on request. */
  readonly leftOut: number;
  /** Metrics by split, of the weights that are kept. */
  readonly metrics: Readonly<Partial<Record<'validation' | 'test', Readonly<Record<string, number>>>>>;
  /** What always giving the most frequent answer scores on the last split, by the deciding metric. */
  readonly majority: number | undefined;
  /** The best evaluation of this task on its own, whichever weights are kept. */
  readonly best: Score | undefined;
  /** Which vector of each sequence its head reads, where it reads one. */
  readonly pooling?: Pooling;
  /** The earlier task that it began as, where it was added to a model. */
  readonly begins?: Beginning;
}

export interface MultiTaskSummary {
  readonly method: string;
  /** Numbers that trained, heads among them. */
  readonly parameters: number;
  readonly encoderParameters: number;
  /** Numbers of the whole model: the encoder's, and all that was added. */
  readonly size: number;
  /** Of CA-MTL: what each kind of module has, and how it compares with fine-tuning an encoder for each task. */
  readonly report?: CaMtlReport;
  /** The tasks that the model had before, whose answers stay the same. */
  readonly addedTo?: readonly string[];
  readonly steps: number;
  /** By the mean over tasks. */
  readonly best: Score | undefined;
  readonly stoppedEarly: boolean;
  readonly tasks: readonly TaskSummary[];
  /** What uncertainty sampling took, and the rows it looked at and chose, by task. */
  readonly sampling:
    | {
        readonly seconds: number;
        readonly shareOfTime: number;
        readonly candidates: Readonly<Record<string, number>>;
        readonly chosen: Readonly<Record<string, number>>;
        /** Over the run, where it has a log. */
        readonly overTime?: ChosenRows;
      }
    | undefined;
  readonly seconds: number;
}

/** The README.md of a model of several tasks. */
export function multiTaskCard(
  { parameters, encoderParameters, size, report, addedTo = [], steps, seconds, tasks, best }: MultiTaskSummary,
  learnt: readonly Task[],
  encoder: Encoder,
  method: MultiTaskMethod,
  settings: MultiTaskSettings,
): string {
  const score = (value: number | undefined) => (value === undefined ? '' : value.toFixed(4));
  const rows = tasks.map(
    ({ name, kind, metric, metrics, majority }) =>
      `| ${name} | ${kind} | ${metric} | ${score(metrics.validation?.[metric])} | ${score(metrics.test?.[metric])} | ${score(majority)} |`,
  );
  const licences = learnt.map(({ name, card }) => `${name}: ${String(card.licence ?? card.license ?? 'not stated')}`);
  const all = addedTo.length + tasks.length;
  const grown =
    addedTo.length > 0
      ? `Added to a model of ${addedTo.join(', ')}, which answers these as before; their scores stand in its own card.\n`
      : '';
  const alone = !method.trainsEncoder;
  return `---
library_name: multigraft
base_model: ${encoder.name}
tags: [multi-task]
---
# ${[...addedTo, ...tasks.map(({ name }) => name)].join(', ')}

${grown}One model for ${all} tasks: \`${method.text}\` on ${addedTo.length > 0 ? 'the model' : 'the encoder'} ${encoder.name}, ${parameters.toLocaleString('en')} trained parameters. All of it
has ${(size / encoderParameters).toFixed(3)} times the numbers of the encoder; a fine-tuned encoder for each task has ${all} times.
${report ? `\n| part | numbers | trained |\n| --- | --- | --- |\n${reportRows(report)}\n` : ''}
| task | kind | metric | validation | test | most frequent answer |
| --- | --- | --- | --- | --- | --- |
${rows.join('\n')}

${readsText(tasks)}Trained for ${steps} steps in ${seconds.toFixed(0)} s${best ? `; these are the weights of step ${best.step}` : ''}.
Licences of the training data: ${licences.join('; ')}${addedTo.length > 0 ? '; and those of the model that it was added to' : ''}.

## Use
\`\`\`
multigraft predict ${alone ? '--model ENCODER --adapter .' : '--model .'} --input rows.jsonl --output answers.jsonl
\`\`\`
${alone ? `ENCODER is the folder of ${encoder.name}; without \`--model\` it is the small encoder that comes with multigraft. ` : ''}Each row names its task: \`{"task": "${tasks[0]?.name}", …}\`.

## Settings
\`\`\`json
${JSON.stringify(settings, null, 1)}
\`\`\`
`;
}

/** What heads read that read one vector of a row; nothing where none does. */
function readsText(tasks: readonly TaskSummary[]): string {
  const read = [...new Set(tasks.flatMap(({ pooling }) => pooling ?? []))];
  return read.length === 0 ? '' : `Heads of whole rows read ${read.map((pooling) => READS[pooling]).join(', or ')}.\n`;
}

function reportRows({ parts }: CaMtlReport): string {
  const number = (count: number) => count.toLocaleString('en');
  return Object.entries(parts)
    .map(([part, { all, trained }]) => `| ${part} | ${number(all)} | ${number(trained)} |`)
    .join('\n');
}
