import { fail } from '../base/index.ts';
import type { Model } from '../model/model.ts';
import { CONTRASTIVE, type Head, poolingOf, vectorHead } from '../objectives/index.ts';
import { type TrainSettings, trainSettings } from './settings.ts';

/** What suits eight to some hundred rows (docs/few-rows.md), in place of settings that are as they always are. */
const USUAL = { maxSteps: 30, batchSize: 32, learningRate: 2e-3 } as const;

/**
 * The settings of a stage on pairs: steps, rows a step and learning rate are its own where they were left at their defaults. A step is
 * computed at once where nothing else is asked for, since rows meet those they are computed with.
 */
export function contrastiveSettings(settings: TrainSettings): TrainSettings {
  const defaults = trainSettings.parse({});
  const batchSize = settings.batchSize === defaults.batchSize ? USUAL.batchSize : settings.batchSize;
  const { epochs, learningRate = USUAL.learningRate, microBatch = batchSize } = settings;
  const maxSteps = settings.maxSteps ?? (epochs === defaults.epochs ? USUAL.maxSteps : undefined);
  return { ...settings, batchSize, learningRate, microBatch, ...(maxSteps !== undefined && { maxSteps }) };
}

/** A model whose adapter learns from pairs of rows: in the place of its head stand the vectors that this will read. */
export function contrastiveModel(model: Model): Model {
  const { config } = model.heads[0] as Head;
  return { ...model, heads: [vectorHead(poolingOf(config), false, model.encoder.config)], objective: CONTRASTIVE };
}

/** What a stage on pairs does, in words. */
export function contrastiveText({ maxSteps, epochs, batchSize, microBatch, learningRate }: TrainSettings): string {
  const steps = maxSteps === undefined ? `${epochs} epochs` : `${maxSteps} steps`;
  const parts = microBatch === batchSize ? '' : ` in parts of ${microBatch}`;
  return `The adapter learns from pairs of rows: ${steps} of ${batchSize} rows${parts}, learning rate ${learningRate}.`;
}

/** @throws usage.value for a head without classes, for nothing to train beside it, and for what a stage on pairs does not do */
export function checkContrastive(
  { kind, name }: Head,
  trains: number,
  { headStart, settings }: { readonly headStart?: string; readonly settings: TrainSettings },
  method: string,
): void {
  const subject = '--contrastive';
  for (const [flag, value] of Object.entries({ '--eval-every': settings.evalEvery, '--patience': settings.patience }))
    if (value !== undefined)
      fail({
        code: 'usage.value',
        subject: flag,
        found: `${value}, with ${subject}`,
        expected: 'nothing: validation rows are scored once, at the end',
      });
  if (settings.batchSize < 2 || settings.microBatch === 1)
    fail({
      code: 'usage.value',
      subject: settings.batchSize < 2 ? '--batch-size' : '--micro-batch',
      found: `1, with ${subject}`,
      expected: '2 or more: a row alone has no pairs',
    });
  if (headStart !== undefined)
    fail({
      code: 'usage.value',
      subject: '--head-start',
      found: `${headStart}, with ${subject}`,
      expected: 'nothing: the head is solved after it',
    });
  if (kind.solves !== 'class')
    fail({ code: 'usage.value', subject, found: `the head '${name}' of type ${kind.type}`, expected: 'a task of one class a row' });
  if (trains === 0)
    fail({ code: 'usage.value', subject, found: `--method ${method}`, expected: 'a method with parameters of its own to train, as lora' });
}
