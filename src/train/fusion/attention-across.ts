import { z } from 'zod';
import { type Files, fail, joinPath } from '../../base/index.ts';
import { asName } from '../../checkpoint/index.ts';
import { isJsonObject, readJson } from '../../formats/json.ts';
import { ATTENTION, type AttentionTable } from '../../predict/attention.ts';
import { METRICS } from '../output-folder.ts';

/**
 * Several fusions over the same adapters, each for a task of its own (Pfeiffer et al. 2021, section 5): whether a task listens
 * to the adapter that was trained on it, or to others.
 */
export interface TaskAttention {
  readonly adapters: readonly string[];
  /** In the order of the adapters, tasks without one of their own last. */
  readonly tasks: readonly TaskLine[];
  /** Of the tasks with an adapter of their own: the mean attention to it, and to each other adapter. */
  readonly diagonal?: number;
  readonly offDiagonal?: number;
  /** The same at each place. */
  readonly sites: readonly { readonly layer: number; readonly place: string; readonly diagonal: number; readonly offDiagonal: number }[];
}

interface TaskLine {
  readonly task: string;
  readonly folder: string;
  /** Over rows, tokens and places. */
  readonly attention: readonly number[];
  /** Which adapter, from 0, is called like the task. */
  readonly own: number | undefined;
  /** Which gets the most attention. */
  readonly most: number;
}

const shares = z.array(z.number());
const tableSchema = z.object({
  adapters: z.array(z.string()).min(1),
  sites: z.array(z.object({ layer: z.number(), place: z.string(), attention: shares })),
  mean: shares,
  rows: z.number(),
});

/**
 * Reads what `multigraft fuse` wrote into each folder.
 * @throws file.missing for a folder without it, file.syntax, usage.value for fusions of other adapters
 */
export async function taskAttention(files: Files, folders: readonly string[]): Promise<TaskAttention> {
  const read = await Promise.all(folders.map(async (folder) => ({ folder, ...(await readFusion(files, folder)) })));
  const [first] = read;
  if (!first) return fail({ code: 'usage.value', subject: 'folders', found: 'none', expected: 'the folders of two or more fusions' });
  const { adapters } = first.table;
  const lines = read.map(({ folder, task, table }) => {
    const order = adapters.map((name) => table.adapters.indexOf(name));
    if (order.includes(-1) || table.adapters.length !== adapters.length)
      fail({
        code: 'usage.value',
        subject: folder,
        found: `a fusion of ${table.adapters.join(', ')}`,
        expected: `one of ${adapters.join(', ')}, as in ${first.folder}`,
        next: 'Compare fusions of the same adapters.',
      });
    const ordered = (attention: readonly number[]) => order.map((from) => attention[from] as number);
    const attention = ordered(table.mean);
    const own = adapters.indexOf(asName(task));
    const sites = table.sites.map((site) => ({ ...site, attention: ordered(site.attention) }));
    const most = attention.indexOf(Math.max(...attention));
    return { task, folder, attention, own: own < 0 ? undefined : own, most, sites };
  });
  lines.sort((a, b) => (a.own ?? adapters.length) - (b.own ?? adapters.length));
  const sites = (lines[0]?.sites ?? []).map(({ layer, place }) => {
    const here = lines.flatMap(({ own, sites: all }) =>
      all.filter((one) => one.layer === layer && one.place === place).map((one) => ({ ...one, own })),
    );
    return { layer, place, ...contrast(here) };
  });
  return {
    adapters,
    tasks: lines.map(({ sites: _, ...line }) => line),
    ...contrast(lines),
    sites: sites.flatMap(({ diagonal, offDiagonal, ...site }) =>
      diagonal === undefined || offDiagonal === undefined ? [] : [{ ...site, diagonal, offDiagonal }],
    ),
  };
}

/** Mean attention to the own adapter and to each other one, where there is an own one and there are others. */
function contrast(lines: readonly Pick<TaskLine, 'attention' | 'own'>[]): Pick<TaskAttention, 'diagonal' | 'offDiagonal'> {
  const owning = lines.filter(({ own, attention }) => own !== undefined && attention.length > 1);
  if (owning.length === 0) return {};
  const total = owning.reduce((sum, { attention, own }) => sum + (attention[own as number] as number), 0);
  const others = owning.reduce((sum, { attention, own }) => sum + (1 - (attention[own as number] as number)) / (attention.length - 1), 0);
  return { diagonal: total / owning.length, offDiagonal: others / owning.length };
}

async function readFusion(files: Files, folder: string): Promise<{ readonly task: string; readonly table: AttentionTable }> {
  const path = joinPath(folder, ATTENTION);
  if ((await files.kind(path)) !== 'file')
    fail({
      code: 'file.missing',
      subject: folder,
      found: `no ${ATTENTION}`,
      expected: 'the folder that multigraft fuse made, with rows to validate or test on',
      next: 'Train the fusion with multigraft fuse, or leave the folder out.',
    });
  const table = tableSchema.safeParse(await readJson(files, path));
  if (!table.success)
    return fail({
      code: 'file.syntax',
      subject: `${path}: ${table.error.issues[0]?.path.join('.') || 'the whole'}`,
      found: table.error.issues[0]?.message ?? 'another form',
      expected: 'a file as multigraft fuse writes it',
    });
  const metrics = await readJson(files, joinPath(folder, METRICS));
  const task = isJsonObject(metrics) && typeof metrics.task === 'string' ? metrics.task : folder;
  return { task, table: table.data };
}
