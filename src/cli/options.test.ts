import { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { MultigraftError } from '../base/errors.ts';
import { addOptions, optionsOf, parseOptions } from './options.ts';

const schema = z.object({
  model: z.string().meta({ value: 'folder', description: 'the encoder' }),
  learningRate: z.number().positive().max(1).default(1e-4).describe('step size'),
  batchSize: z.number().int().min(1).default(16).describe('rows a step'),
  schedule: z.enum(['constant', 'linear', 'cosine']).default('linear').describe('of the learning rate'),
  shuffle: z.boolean().default(true).describe('file order'),
  resume: z.boolean().default(false).describe('go on'),
  adapters: z.array(z.string()).default([]).meta({ commas: true, description: 'folders' }),
  layer: z.array(z.number().int()).optional().describe('layers'),
  threads: z
    .union([z.literal('auto'), z.number().int().positive()])
    .default('auto')
    .describe('of the engine'),
  even: z
    .number()
    .refine((n) => n % 2 === 0, 'an even number')
    .optional()
    .describe('even'),
});

function typed(...words: string[]) {
  const command = addOptions(new Command().exitOverride(), schema).parse(words, { from: 'user' });
  return parseOptions(schema, command.opts());
}

function refusal(...words: string[]) {
  try {
    typed(...words);
  } catch (error) {
    if (error instanceof MultigraftError) return `${error.code} ${error.message}`;
    throw error;
  }
  throw new Error('nothing was refused');
}

describe('options', () => {
  it('are the keys of the schema as flags', () => {
    expect(optionsOf(schema).map(({ flag, kind, required }) => [flag, kind, required])).toEqual([
      ['--model', 'string', true],
      ['--learning-rate', 'number', false],
      ['--batch-size', 'number', false],
      ['--schedule', 'enum', false],
      ['--no-shuffle', 'boolean', false],
      ['--resume', 'boolean', false],
      ['--adapters', 'string', false],
      ['--layer', 'number', false],
      ['--threads', 'any', false],
      ['--even', 'number', false],
    ]);
  });

  it('take their defaults when absent', () => {
    expect(typed('--model', 'm')).toEqual({
      model: 'm',
      learningRate: 1e-4,
      batchSize: 16,
      schedule: 'linear',
      shuffle: true,
      resume: false,
      adapters: [],
      threads: 'auto',
    });
  });

  it('take what is typed, in both spellings, negative numbers and lists too', () => {
    const words = '--model=m --learning-rate 3e-5 --batch-size=8 --schedule cosine --no-shuffle --resume --threads 2 --even -4';
    expect(typed(...words.split(' '), '--adapters', 'a,b', '--adapters', 'c', '--layer', '-1', '--layer', '2')).toEqual({
      model: 'm',
      learningRate: 3e-5,
      batchSize: 8,
      schedule: 'cosine',
      shuffle: false,
      resume: true,
      adapters: ['a', 'b', 'c'],
      layer: [-1, 2],
      threads: 2,
      even: -4,
    });
  });

  it('show type, choices and default in the help', () => {
    const help = addOptions(new Command('x').helpOption(false), schema).configureHelp({ helpWidth: 200 }).helpInformation();
    expect(help).toMatch(/--model <folder> +the encoder \(required\)/);
    expect(help).toMatch(/--learning-rate <number> +step size \(default: 0\.0001\)/);
    expect(help).toMatch(/--schedule <schedule> +of the learning rate \(one of: constant, linear, cosine; default: linear\)/);
    expect(help).toMatch(/--no-shuffle +file order$/m);
  });

  it.each([
    [[], 'usage.flag --model: found nothing; expected a folder. Give --model <folder>.'],
    [['--model', '--resume'], 'usage.flag --model: found the flag --resume; expected a folder. Give --model <folder>.'],
    [['--model', ''], 'usage.flag --model: found an empty text; expected a folder. Give --model <folder>.'],
    [['--model', 'm', '--batch-size', 'many'], 'usage.flag --batch-size: found "many"; expected an integer >= 1.'],
    [['--model', 'm', '--batch-size', 'NaN'], 'usage.flag --batch-size: found "NaN"; expected an integer >= 1.'],
    [['--model', 'm', '--batch-size', '0'], 'usage.value --batch-size: found 0; expected an integer >= 1.'],
    [['--model', 'm', '--batch-size', '1.5'], 'usage.value --batch-size: found 1.5; expected an integer >= 1.'],
    [['--model', 'm', '--learning-rate', '2'], 'usage.value --learning-rate: found 2; expected a number > 0 and <= 1.'],
    [
      ['--model', 'm', '--schedule', 'cosin'],
      'usage.value --schedule: found "cosin"; expected one of constant, linear, cosine. Did you mean cosine?',
    ],
    [['--model', 'm', '--layer', '1', '--layer', '1.5'], 'usage.value --layer: found 1.5; expected an integer.'],
    [['--model', 'm', '--threads', '-1'], 'usage.value --threads: found -1; expected auto or an integer > 0.'],
    [['--model', 'm', '--even', '3'], 'usage.value --even: found 3; expected an even number.'],
  ])('refuse %j', (words, message) => {
    expect(refusal(...words)).toBe(message);
  });

  it('by position are named as arguments', () => {
    expect(() => parseOptions(schema, {}, ['model'])).toThrow('argument folder: found nothing; expected a folder. Give <folder>.');
  });

  it('must not hide those of every command', () => {
    expect(() => optionsOf(z.object({ json: z.boolean() }))).toThrow('--json');
  });
});
