import type { Encoder } from '../encoders/index.ts';
import type { Pooling } from '../nn/index.ts';
import type { Task } from '../tasks/index.ts';
import type { SolvedFacts } from './solved-head.ts';
import type { TrainResult } from './trainer.ts';

export interface TrainTaskResult {
  readonly name: string;
  readonly task: string;
  readonly method: string;
  readonly parameters: number;
  readonly steps: number;
  readonly best: TrainResult['best'];
  readonly stoppedEarly: boolean;
  /** Set where what was trained beside the head learnt from pairs of rows. */
  readonly contrastive?: true;
  /** How its head was solved exactly, where it was: to begin with, or with no steps at all. */
  readonly solved?: SolvedFacts;
  /** Which vector of each sequence the head reads, where it reads one. */
  readonly pooling?: Pooling;
  /** Whether that is divided by its length. */
  readonly normalized?: true;
  /** Metrics by split. */
  readonly metrics: Readonly<Partial<Record<'validation' | 'test', Readonly<Record<string, number>>>>>;
  /** What always giving the most frequent answer scores on the last split. */
  readonly majority: number | undefined;
  readonly seconds: number;
}

/** What an output folder holds: an adapter with its head, a fusion with its adapters and head, a head alone, a whole model with its head. */
export type SavedAs = 'adapter' | 'setup' | 'head' | 'model';

const IN_PYTHON: Readonly<Record<SavedAs, string>> = {
  adapter: 'model.load_adapter(".")',
  setup: 'model.load_adapter_setup(".")',
  head: 'model.load_head(".")',
  model: 'AutoAdapterModel.from_pretrained("."), then model.load_head(".")',
};

/** What is loaded there of a folder whose head is none of Python's. */
const WITHOUT_HEAD: Readonly<Record<SavedAs, string | undefined>> = {
  adapter: IN_PYTHON.adapter,
  setup: IN_PYTHON.setup,
  head: undefined,
  model: 'AutoAdapterModel.from_pretrained(".")',
};

/** How a head was solved, in words. */
export function solvedText({ by, penalties, folds }: SolvedFacts): string {
  const name = by === 'logistic regression' ? 'C' : 'α';
  const values = [...new Set(penalties.map((penalty) => Number(penalty.toPrecision(3))))].sort((a, b) => a - b).join(', ');
  const how = folds === 0 ? ', which no cross-validation chose' : `, chosen by cross-validation in ${folds} parts`;
  return `The head is solved by ${by}, ${name} = ${values}${how}.`;
}

/** What a head reads of a row, in words. */
export const READS: Readonly<Record<Pooling, string>> = {
  first: "the first token's vector",
  pooler: "what the encoder's pooler makes of the first token",
  mean: 'the mean over all tokens of a row',
  max: 'the largest number of all tokens of a row in each column',
  mean_sqrt_len: 'the sum over all tokens of a row by the root of their number',
};

/** Which heads Python's library has too, and which are of this package alone. */
function pythonText(pooling: Pooling | undefined, saved: SavedAs): string {
  if (pooling === undefined || pooling === 'first' || pooling === 'pooler')
    return `The files are those of the Python library \`adapters\`: \`${IN_PYTHON[saved]}\`.`;
  const others = WITHOUT_HEAD[saved];
  const none = 'The Python library `adapters` has no head that reads this';
  return others === undefined
    ? `${none}, and finds none here.`
    : `${none}: there \`${others}\` loads everything else, and says that it found no head.`;
}

/** The README.md of an output folder: what it is, how good, how made, how to use it. */
export function modelCard(result: TrainTaskResult, task: Task, encoder: Encoder, settings: object, saved: SavedAs): string {
  const rows = Object.entries(result.metrics).flatMap(([split, values]) =>
    Object.entries(values).map(([metric, value]) => `| ${split} | ${metric} | ${value.toFixed(4)} |`),
  );
  const majority =
    result.majority === undefined ? '' : `\nAlways giving the most frequent answer scores ${result.majority.toFixed(4)} accuracy.\n`;
  const licence =
    typeof task.card.licence === 'string' ? task.card.licence : typeof task.card.license === 'string' ? task.card.license : 'not stated';
  return `---
library_name: multigraft
base_model: ${encoder.name}
tags: [adapters, ${task.kind}]
---
# ${result.name}

A \`${result.method}\` module for the task ${task.name} (${task.kind}) on the encoder ${encoder.name}: ${result.parameters.toLocaleString('en')} trained parameters.${result.pooling === undefined ? '' : ` The head reads ${READS[result.pooling]}${result.normalized ? ', divided by its length' : ''}.`}

| split | metric | value |
| --- | --- | --- |
${rows.join('\n')}
${majority}
${result.contrastive ? 'It learnt from pairs of rows, alike or not (`--contrastive`).\n' : ''}${result.solved ? `${solvedText(result.solved)}\n` : ''}${result.steps === 0 ? 'Made' : `Trained for ${result.steps} steps`} in ${result.seconds.toFixed(0)} s${result.best ? `; these are the weights of step ${result.best.step}, the best by ${task.metric} on the validation rows` : ''}.
Licence of the training data: ${licence}.

## Use
\`\`\`
multigraft predict ${saved === 'model' ? '--model .' : '--model ENCODER --adapter .'} --input rows.jsonl --output answers.jsonl
\`\`\`
${saved === 'model' ? '' : `ENCODER is the folder of ${encoder.name}; without \`--model\` it is the small encoder that comes with multigraft.\n`}${pythonText(result.pooling, saved)}

## Settings
\`\`\`json
${JSON.stringify(settings, null, 1)}
\`\`\`
`;
}
