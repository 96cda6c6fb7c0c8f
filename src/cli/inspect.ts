import { z } from 'zod';
import { type InspectedPart, inspectPath } from '../inspect/index.ts';
import { defineCommand } from './command.ts';
import { alignColumns, grouped } from './table.ts';

const schema = z.object({
  path: z.string().meta({ value: 'path', description: 'an adapter, head, encoder or task folder, or a file of weights' }),
  all: z.boolean().default(false).meta({ description: 'show every tensor and every setting' }),
});

const SHOWN = 20;

export const command = defineCommand({
  name: 'inspect',
  summary: 'say what is in a folder or file: tensors, settings, sizes, numbers that are not finite',
  arguments: ['path'],
  schema,
  async run(context, { path, all }) {
    const inspection = await inspectPath(context.files, path);
    context.stdout(context.json ? JSON.stringify(inspection) : inspection.parts.map((part) => render(part, all)).join('\n\n'));
  },
});

function render({ kind, path, facts, tensors = [], parameters, warnings }: InspectedPart, all: boolean): string {
  const { config, ...plain } = facts;
  const settings = typeof config === 'object' && config !== null ? Object.entries(config) : [];
  // A method's configuration says in one line what differs from its usual settings.
  const said = settings.length > 0 && plain.configuration !== undefined && !all;
  const shown = all ? tensors : tensors.slice(0, SHOWN);
  return [
    `${kind}: ${path}${parameters === undefined ? '' : `, ${grouped(parameters)} parameters in ${tensors.length} tensors`}`,
    ...alignColumns(Object.entries(plain).map(([key, value]) => [`  ${key}`, display(value, all)])),
    ...(said ? [`  ${settings.length} settings (--all shows them)`] : []),
    ...(settings.length > 0 && !said
      ? ['  settings:', ...alignColumns(settings.map(([key, value]) => [`    ${key}`, display(value, all)]))]
      : []),
    ...(shown.length > 0
      ? ['  tensors:', ...alignColumns(shown.map(({ name, dtype, shape }) => [`    ${name}`, dtype, `[${shape}]`]))]
      : []),
    ...(shown.length < tensors.length ? [`    … and ${tensors.length - shown.length} more (--all shows them)`] : []),
    ...warnings.map((warning) => `  warning: ${warning}`),
  ].join('\n');
}

function display(value: unknown, all: boolean): string {
  const words = Array.isArray(value) && value.every((one) => typeof one === 'string');
  const text = typeof value === 'string' ? value : words ? value.join(', ') : JSON.stringify(value);
  return all || text.length <= 100 ? text : `${text.slice(0, 99)}…`;
}
