import type { Files } from '../base/index.ts';
import type { AttentionTable } from '../predict/index.ts';
import type { ChosenRows, TaskAttention } from '../train/index.ts';
import { ADVANCE, createCanvas, LETTER_HEIGHT } from './png.ts';

const CELL = { width: 56, height: 26 };
const LETTER = 7;
const GAP = 12;

/** Shares to be drawn, with a name for each column. */
interface HeatTable {
  readonly columns: readonly string[];
  readonly rows: readonly HeatRow[];
  /** The share that has the full colour; 1 by default. */
  readonly full?: number;
}

interface HeatRow {
  readonly label: string;
  readonly shares: readonly number[];
  /** Stands a little below those before it. */
  readonly apart?: boolean;
  /** The column with a frame. */
  readonly framed?: number | undefined;
}

/** A row per layer and place, and one for the mean. */
export function layerRows({ adapters, sites, mean }: AttentionTable): HeatTable {
  const rows = sites.map((site) => ({ label: siteLabel(site), shares: site.attention }));
  return { columns: adapters, rows: [...rows, { label: 'mean', shares: mean, apart: true }] };
}

/** A row per task, the adapter trained on it in a frame. */
export function taskRows({ adapters, tasks }: TaskAttention): HeatTable {
  return { columns: adapters, rows: tasks.map(({ task, attention, own }) => ({ label: task, shares: attention, framed: own })) };
}

/** A row per task, a column per period of a training: what it had of the rows that were chosen. */
export function periodRows({ steps, shares }: ChosenRows): HeatTable {
  return {
    columns: steps.map((last, i) => `${i === 0 ? 1 : (steps[i - 1] as number) + 1}-${last}`),
    rows: Object.entries(shares).map(([label, ofTask]) => ({ label, shares: ofTask })),
    full: Math.max(...Object.values(shares).flat(), 1e-9),
  };
}

/** Draws shares in two files that begin with `path`: .svg and .png. */
export async function writeHeatMap(files: Files, path: string, table: HeatTable, title: string): Promise<void> {
  await files.write(`${path}.svg`, heatMap(table, title));
  await files.write(`${path}.png`, heatMapPng(table, title));
}

/**
 * Shares as a picture, the share in percent in each cell. One hue from faint to full, on a transparent ground: it can be read
 * in light and in dark.
 */
export function heatMap({ columns, rows, full = 1 }: HeatTable, title: string): string {
  const left = GAP + LETTER * Math.max(...rows.map(({ label }) => label.length));
  const top = 40 + LETTER * 0.75 * Math.max(...columns.map((name) => name.length));
  const width = left + GAP + columns.length * CELL.width + 60;
  const height = top + GAP + rows.length * CELL.height + 10;
  const x = (column: number) => left + GAP + column * CELL.width;
  const y = (row: number) => top + row * CELL.height + (rows[row]?.apart ? 6 : 0);
  const cells = rows.flatMap(({ shares, framed }, row) =>
    shares.map((share, column) => {
      const frame = framed === column ? ' stroke="#d9822b" stroke-width="2"' : '';
      const box = `<rect x="${x(column)}" y="${y(row)}" width="${CELL.width - 2}" height="${CELL.height - 2}" rx="3" fill="#2f7ed8" fill-opacity="${tintOf(share, full).toFixed(3)}"${frame}/>`;
      const text = `<text x="${x(column) + CELL.width / 2 - 1}" y="${y(row) + 16}" text-anchor="middle"${share > 0.7 * full ? ' class="on"' : ''}>${(100 * share).toFixed(0)}</text>`;
      return box + text;
    }),
  );
  const rowLabels = rows.map(({ label }, row) => `<text x="${left}" y="${y(row) + 16}" text-anchor="end">${escaped(label)}</text>`);
  const columnLabels = columns.map(
    (name, column) =>
      `<text transform="translate(${x(column) + CELL.width / 2},${top - 8}) rotate(-45)" text-anchor="start">${escaped(name)}</text>`,
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${Math.ceil(width)} ${Math.ceil(height)}" width="${Math.ceil(width)}" height="${Math.ceil(height)}" role="img">`,
    `<title>${escaped(title)}</title>`,
    '<style>text{font:12px system-ui,sans-serif;fill:#333}.on{fill:#fff}@media(prefers-color-scheme:dark){text{fill:#ddd}.on{fill:#fff}}</style>',
    `<text x="${GAP}" y="18" style="font-weight:600">${escaped(title)}</text>`,
    ...columnLabels,
    ...rowLabels,
    ...cells,
    '</svg>\n',
  ].join('\n');
}

/** The same picture as PNG, on white: for places that show no SVG. */
export function heatMapPng({ columns, rows, full = 1 }: HeatTable, title: string): Uint8Array {
  const size = 2;
  const letter = ADVANCE * size;
  const cell = { width: 4 * letter, height: (LETTER_HEIGHT + 6) * size };
  const left = GAP + letter * Math.max(...rows.map(({ label }) => label.length)) + GAP;
  const top = 60 + letter * Math.max(...columns.map((name) => name.length));
  const width = Math.max(left + columns.length * cell.width, letter * title.length + GAP) + GAP;
  const canvas = createCanvas(width, top + rows.length * cell.height + 2 * GAP, [255, 255, 255]);
  const ink = [40, 40, 40] as const;
  canvas.text(title, GAP, GAP, ink, { size });
  columns.forEach((name, column) => {
    const middle = left + column * cell.width + (cell.width - LETTER_HEIGHT * size) / 2;
    canvas.text(name, middle, top - 8, ink, { size, up: true });
  });
  rows.forEach(({ label, shares, apart, framed }, row) => {
    const y = top + row * cell.height + (apart ? 8 : 0);
    canvas.text(label, left - GAP - letter * label.length, y + 6, ink, { size });
    shares.forEach((share, column) => {
      const x = left + column * cell.width;
      const tint = tintOf(share, full);
      const mixed = [47, 126, 216].map((full) => Math.round(255 + (full - 255) * tint)) as [number, number, number];
      const frame = framed === column ? 3 : 0;
      if (frame > 0) canvas.rectangle(x, y, cell.width - 2, cell.height - 2, [217, 130, 43]);
      canvas.rectangle(x + frame, y + frame, cell.width - 2 - 2 * frame, cell.height - 2 - 2 * frame, mixed);
      const text = (100 * share).toFixed(0);
      canvas.text(text, x + Math.round((cell.width - letter * text.length) / 2), y + 6, share > 0.7 * full ? [255, 255, 255] : ink, {
        size,
      });
    });
  });
  return canvas.encode();
}

export function siteLabel({ layer, place }: Pick<AttentionTable['sites'][number], 'layer' | 'place'>): string {
  return place === 'output' ? `layer ${layer}` : `layer ${layer}, ${place}`;
}

function tintOf(share: number, full: number): number {
  return 0.06 + (0.9 * share) / full;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
