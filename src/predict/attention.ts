import type { Answer } from './answer.ts';

/** The file with the table of a fusion, in its folder. */
export const ATTENTION = 'attention.json';

/** Mean attention of a fusion, over rows and tokens: which adapter it listens to, and where. */
export interface AttentionTable {
  readonly adapters: readonly string[];
  /** One line per layer (from 0) and place; 0 for an adapter that does not stand there. Each adds up to 1. */
  readonly sites: readonly { readonly layer: number; readonly place: string; readonly attention: readonly number[] }[];
  /** Over all sites. */
  readonly mean: readonly number[];
  readonly rows: number;
}

/** Averages what answers observed of the fusion `name`. */
export function attentionTable(answers: readonly Answer[], name: string, adapters: readonly string[]): AttentionTable {
  const sums = new Map<string, number[]>();
  for (const { observed = {} } of answers)
    for (const [site, columns] of Object.entries(observed)) {
      if (!site.startsWith(`${name}/`)) continue;
      const sum = sums.get(site) ?? adapters.map(() => 0);
      sums.set(
        site,
        adapters.map((adapter, i) => (sum[i] as number) + (columns[adapter] ?? 0)),
      );
    }
  const sites = [...sums].map(([site, sum]) => {
    const [layer, place] = site.slice(name.length + 1).split('.') as [string, string];
    return { layer: Number(layer), place, attention: sum.map((value) => value / answers.length) };
  });
  sites.sort((a, b) => a.layer - b.layer || a.place.localeCompare(b.place));
  const mean = adapters.map((_, i) => sites.reduce((total, { attention }) => total + (attention[i] as number), 0) / sites.length);
  return { adapters, sites, mean, rows: answers.length };
}
