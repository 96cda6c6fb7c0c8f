import type { AttentionTable } from '../predict/index.ts';
import type { AdapterChoice } from '../train/index.ts';
import { siteLabel } from './heat-map.ts';
import { alignColumns } from './table.ts';

export function attentionLines({ adapters, sites, mean, rows }: AttentionTable): string[] {
  const percent = (shares: readonly number[]) => shares.map((share) => (100 * share).toFixed(1));
  const table = [['', ...adapters], ...sites.map((site) => [siteLabel(site), ...percent(site.attention)]), ['mean', ...percent(mean)]];
  return [
    `Attention to each adapter, percent, over ${rows} rows:`,
    ...alignColumns(
      table,
      adapters.map((_, i) => i + 1),
    ),
    '',
  ];
}

/** Which adapters were chosen, and why. */
export function choiceLines({ scores, chosen, bare, observations }: AdapterChoice): string[] {
  const rows = scores.map(({ name, folder, score }) => {
    const place = chosen.findIndex((one) => one.folder === folder);
    return [name, score.toFixed(4), ...(place < 0 ? ['', ''] : [`${place + 1}`, (chosen[place] as { score: number }).score.toFixed(4)])];
  });
  return [
    `Adapters by the evidence of a linear model of what the encoder says with them (LogME), over ${observations} observations:`,
    ...alignColumns([['adapter', 'alone', 'chosen', 'on what is left'], ...rows, ['(no adapter)', bare.toFixed(4), '', '']], [1, 2, 3]),
    '',
  ];
}
