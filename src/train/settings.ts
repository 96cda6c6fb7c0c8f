import { z } from 'zod';
import { expectationIn, fail, nearest } from '../base/index.ts';
import { SCHEDULES } from '../update/index.ts';

/** Everything that decides how a run goes. One declaration gives type, default, check, flag and help. */
export const trainSettings = z.object({
  learningRate: z.number().positive().optional().meta({ description: 'step size at the end of warm-up (default: what suits the method)' }),
  epochs: z.number().positive().default(10).meta({ description: 'passes over the training rows' }),
  maxSteps: z.number().int().positive().optional().meta({ description: 'stop after this many steps, whatever --epochs says' }),
  batchSize: z.number().int().positive().default(16).meta({ description: 'rows per step' }),
  microBatch: z.number().int().positive().optional().meta({
    description: 'rows computed at once; the rest of a batch is accumulated (default: about 512 tokens, more where the encoder trains)',
  }),
  schedule: z.enum(SCHEDULES).default('linear').meta({ description: 'how the learning rate moves after warm-up' }),
  warmup: z.number().min(0).default(0.06).meta({ description: 'warm-up: a share of all steps when below 1, else a number of steps' }),
  weightDecay: z.number().min(0).default(0.01).meta({ description: 'decoupled weight decay; never on biases and norms' }),
  clip: z.number().min(0).default(1).meta({ description: 'largest gradient norm; 0 switches clipping off' }),
  seed: z.number().int().default(1).meta({ description: 'fixes initial values, order of rows and dropout' }),
  dropout: z.number().min(0).lt(1).optional().meta({ description: 'dropout everywhere (default: what the encoder says)' }),
  dropLayers: z.number().int().positive().optional().meta({
    description: 'AdapterDrop: each step leaves the adapter out of the first n layers, n drawn anew from 0 to this (default: never)',
  }),
  shuffle: z.boolean().default(true).meta({ description: 'rows in random order, by similar length; --no-shuffle keeps file order' }),
  maxLength: z.number().int().min(3).optional().meta({
    description: 'tokens per sequence; longer inputs are cut, contexts of spans read in windows (default: 128, or 384 for spans)',
  }),
  evalEvery: z.number().int().positive().optional().meta({ description: 'steps between evaluations (default: once an epoch)' }),
  patience: z.number().int().positive().optional().meta({ description: 'stop after this many evaluations without a better one' }),
  saveEvery: z
    .number()
    .int()
    .positive()
    .optional()
    .meta({ description: 'steps between saves of the state to resume from (it is always saved at evaluations and twice a minute)' }),
});

export type TrainSettings = z.infer<typeof trainSettings>;

/** What decides a head that is solved: the rest is of training, and would change nothing. @throws usage.value for what was set of it */
export function exactSettings(settings: TrainSettings): Pick<TrainSettings, 'seed' | 'maxLength'> {
  const usual = trainSettings.parse({});
  const { seed, maxLength, ...training } = settings;
  const set = Object.entries(training).find(([key, value]) => value !== usual[key as keyof TrainSettings]);
  if (set)
    fail({
      code: 'usage.value',
      subject: `setting '${set[0]}'`,
      found: JSON.stringify(set[1]),
      expected: 'nothing: a solved head is not trained by steps',
      next: 'Leave it out, or train with --method head.',
    });
  return { seed, ...(maxLength !== undefined && { maxLength }) };
}

/** Completes settings with their defaults. @throws usage.value naming the setting */
export function checkSettings<S extends z.ZodObject>(schema: S, settings: z.input<S>): z.output<S> {
  const result = schema.strict().safeParse(settings);
  if (result.success) return result.data as z.output<S>;
  const issue = result.error.issues[0];
  const unknown = issue?.code === 'unrecognized_keys';
  const key = unknown ? (issue.keys[0] as string) : String(issue?.path[0] ?? '');
  const names = Object.keys(schema.shape);
  const near = nearest(key, names);
  return fail({
    code: 'usage.value',
    subject: `setting '${key}'`,
    found: unknown ? 'no such setting' : (JSON.stringify((settings as Record<string, unknown>)[key]) ?? 'nothing'),
    expected: unknown || !issue ? `one of ${names.join(', ')}` : expectationIn(issue.message),
    ...(near && near !== key && { next: `Did you mean '${near}'?` }),
  });
}

/** Things a run tells while it goes on. `train/` never prints: the caller shows or logs them. */
export type TrainEvent = StepEvent | EvaluationEvent | { readonly type: 'note'; readonly text: string };

export interface StepEvent {
  readonly type: 'step';
  readonly step: number;
  readonly epoch: number;
  readonly loss: number;
  readonly learningRate: number;
  readonly gradientNorm: number;
  readonly examplesPerSecond: number;
  readonly steps: number;
  readonly secondsLeft: number;
  /** Where several tasks are learnt at once: the loss of each that had rows, and which rows those were. */
  readonly losses?: Readonly<Record<string, number>>;
  readonly rows?: Readonly<Record<string, readonly number[]>>;
}

export interface EvaluationEvent {
  readonly type: 'evaluation';
  readonly step: number;
  readonly epoch: number;
  readonly metrics: Readonly<Record<string, number>>;
  readonly metric: string;
  readonly best: boolean;
}
