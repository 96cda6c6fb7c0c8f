import { z } from 'zod';
import { type Files, fail, joinPath } from '../base/index.ts';
import { ADAPTER_CONFIG, FUSION_CONFIG, SETUP_CONFIG } from '../checkpoint/index.ts';
import { type TaskAttention, taskAttention } from '../train/index.ts';
import { defineCommand } from './command.ts';
import { siteLabel, taskRows, writeHeatMap } from './heat-map.ts';
import { alignColumns } from './table.ts';

const schema = z.object({
  fusions: z.array(z.string()).min(1).meta({ value: 'folder', description: 'fusions of the same adapters, one for each task' }),
  output: z.string().optional().meta({ value: 'folder', description: 'where attention.json, .svg and .png go' }),
});

export const command = defineCommand({
  name: 'attention',
  summary: 'show which adapters several fusions listen to: a row per task, a column per adapter',
  arguments: ['fusions'],
  schema,
  async run({ files, json, stdout }, { fusions, output }) {
    if (output !== undefined && (await isResult(files, output)))
      fail({
        code: 'usage.value',
        subject: '--output',
        found: `${output}, the folder of a fusion or adapter`,
        expected: 'another folder: its own attention.json would be lost',
      });
    const attention = await taskAttention(files, fusions);
    if (output !== undefined) {
      const title = 'Attention of each task to each adapter, percent';
      await files.write(joinPath(output, 'attention.json'), `${JSON.stringify(attention, null, 1)}\n`);
      await writeHeatMap(files, joinPath(output, 'attention'), taskRows(attention), title);
    }
    stdout(json ? JSON.stringify(attention) : render(attention, output));
  },
});

/** Whether a training made this folder. */
async function isResult(files: Files, folder: string): Promise<boolean> {
  for (const name of ['metrics.json', SETUP_CONFIG, FUSION_CONFIG, ADAPTER_CONFIG])
    if ((await files.kind(joinPath(folder, name))) !== 'none') return true;
  return false;
}

function render({ adapters, tasks, diagonal, offDiagonal, sites }: TaskAttention, output: string | undefined): string {
  const percent = (share: number) => (100 * share).toFixed(1);
  const cell = (share: number, isOwn: boolean) => (isOwn ? `[${percent(share)}]` : `${percent(share)} `);
  const rows = tasks.map(({ task, attention, own }) => [task, ...attention.map((share, i) => cell(share, i === own))]);
  const right = adapters.map((_, i) => i + 1);
  const owning = tasks.filter(({ own }) => own !== undefined);
  const first = owning.filter(({ own, most }) => own === most).length;
  const contrast =
    diagonal === undefined || offDiagonal === undefined
      ? ['No task has an adapter of its name.']
      : [
          `The adapter of the task itself, in brackets, gets ${percent(diagonal)} %, each other one ${percent(offDiagonal)} %; it gets the most in ${first} of ${owning.length} tasks.`,
          ...alignColumns(
            [['', 'own', 'each other'], ...sites.map((site) => [siteLabel(site), percent(site.diagonal), percent(site.offDiagonal)])],
            [1, 2],
          ),
        ];
  return [
    'Attention of each task to each adapter, percent:',
    ...alignColumns([['', ...adapters.map((name) => `${name} `)], ...rows], right),
    '',
    ...contrast,
    ...(output === undefined ? [] : [`Drawn in ${joinPath(output, 'attention.svg')} and .png.`]),
  ].join('\n');
}
