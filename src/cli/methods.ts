import { z } from 'zod';
import { fail, nearest } from '../base/index.ts';
import { describeMethods, type MethodEntry } from '../inspect/index.ts';
import { defineCommand } from './command.ts';
import { alignColumns, grouped } from './table.ts';

const schema = z.object({
  name: z.string().optional().meta({ value: 'name', description: 'a method, to see every setting with its value' }),
});

export const command = defineCommand({
  name: 'methods',
  summary: 'list what can be trained on an encoder: names, sites, sizes, papers',
  arguments: ['name'],
  schema,
  async run(context, { name }) {
    const all = describeMethods();
    const shown = name === undefined ? all : all.filter(({ presets }) => presets.some(({ names }) => names.includes(name)));
    if (shown.length === 0) unknown(name as string, all);
    context.stdout(context.json ? JSON.stringify(shown) : name === undefined ? renderAll(shown) : renderOne(shown[0] as MethodEntry, name));
  },
});

function unknown(name: string, all: readonly MethodEntry[]): never {
  const names = all.flatMap(({ presets }) => presets.flatMap((preset) => preset.names));
  const near = nearest(name, names);
  return fail({
    code: 'usage.value',
    subject: 'argument name',
    found: `'${name}'`,
    expected: `one of ${names.join(', ')}`,
    ...(near && { next: `Did you mean ${near}?` }),
  });
}

function renderAll(methods: readonly MethodEntry[]): string {
  const header = ['--method', 'also called', 'on BERT base', 'learning rate', 'sites'];
  const lines = methods.flatMap(({ presets, learningRate }) =>
    presets.map(({ names: [first = '', ...others], parameters, sites }) => [
      first,
      others.join(', '),
      grouped(parameters),
      String(learningRate),
      sites.join(', ') || 'none: only the head trains',
    ]),
  );
  return [
    ...alignColumns([header, ...lines], [2, 3]),
    '',
    ...methods.map(({ name, summary, paper }) => `${name}: ${summary} (${paper})`),
    '',
    'Settings go in brackets: --method "NAME[reduction_factor=8]". multigraft methods NAME lists them.',
  ].join('\n');
}

function renderOne({ name, summary, paper, presets, learningRate }: MethodEntry, wanted: string): string {
  const { names, config, parameters, sites } = presets.find((preset) => preset.names.includes(wanted)) as MethodEntry['presets'][number];
  return [
    `${names.join(', ')}: ${name}, ${summary}`,
    `paper: ${paper}`,
    `sites: ${sites.join(', ') || 'none: only the head trains'}`,
    `parameters on a BERT of the base size: ${grouped(parameters)}`,
    `learning rate where none is given: ${learningRate}`,
    ...alignColumns(Object.entries(config).map(([key, value]) => [`  ${key}`, JSON.stringify(value)])),
  ].join('\n');
}
