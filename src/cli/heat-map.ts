import type { AttentionTable, TaskAttention } from '../train/index.ts';
import { ADVANCE, createCanvas, LETTER_HEIGHT } from './png.ts';

const CELL = { width: 56, height: 26 };
const LETTER = 7;
const GAP = 12;

/** Shares of attention to be drawn: a column per adapter. */
export interface HeatTable {
  readonly adapters: readonly string[];
  readonly rows: readonly HeatRow[];
}

interface HeatRow {
  readonly label: string;
  readonly attention: readonly number[];
  /** Stands a little below those before it. */
  readonly apart?: boolean;
  /** The column with a frame. */
  readonly framed?: number | undefined;
}

/** A row per layer and place, and one for the mean. */
export function layerRows({ adapters, sites, mean }: AttentionTable): HeatTable {
  const rows = sites.map((site) => ({ label: siteLabel(site), attention: site.attention }));
  return { adapters, rows: [...rows, { label: 'mean', attention: mean, apart: true }] };
}

/** A row per task, the adapter trained on it in a frame. */
export function taskRows({ adapters, tasks }: TaskAttention): HeatTable {
  return { adapters, rows: tasks.map(({ task, attention, own }) => ({ label: task, attention, framed: own })) };
}

/**
 * Attention as a picture, the share in percent in each cell. One hue from faint to full, on a transparent ground: it can be read
 * in light and in dark.
 */
export function heatMap({ adapters, rows }: HeatTable, title: string): string {
  const left = GAP + LETTER * Math.max(...rows.map(({ label }) => label.length));
  const top = 40 + LETTER * 0.75 * Math.max(...adapters.map((name) => name.length));
  const width = left + GAP + adapters.length * CELL.width + 60;
  const height = top + GAP + rows.length * CELL.height + 10;
  const x = (column: number) => left + GAP + column * CELL.width;
  const y = (row: number) => top + row * CELL.height + (rows[row]?.apart ? 6 : 0);
  const cells = rows.flatMap(({ attention, framed }, row) =>
    attention.map((share, column) => {
      const frame = framed === column ? ' stroke="#d9822b" stroke-width="2"' : '';
      const box = `<rect x="${x(column)}" y="${y(row)}" width="${CELL.width - 2}" height="${CELL.height - 2}" rx="3" fill="#2f7ed8" fill-opacity="${(0.06 + 0.9 * share).toFixed(3)}"${frame}/>`;
      const text = `<text x="${x(column) + CELL.width / 2 - 1}" y="${y(row) + 16}" text-anchor="middle"${share > 0.7 ? ' class="on"' : ''}>${(100 * share).toFixed(0)}</text>`;
      return box + text;
    }),
  );
  const rowLabels = rows.map(({ label }, row) => `<text x="${left}" y="${y(row) + 16}" text-anchor="end">${escaped(label)}</text>`);
  const columnLabels = adapters.map(
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
export function heatMapPng({ adapters, rows }: HeatTable, title: string): Uint8Array {
  const size = 2;
  const letter = ADVANCE * size;
  const cell = { width: 4 * letter, height: (LETTER_HEIGHT + 6) * size };
  const left = GAP + letter * Math.max(...rows.map(({ label }) => label.length)) + GAP;
  const top = 60 + letter * Math.max(...adapters.map((name) => name.length));
  const width = Math.max(left + adapters.length * cell.width, letter * title.length + GAP) + GAP;
  const canvas = createCanvas(width, top + rows.length * cell.height + 2 * GAP, [255, 255, 255]);
  const ink = [40, 40, 40] as const;
  canvas.text(title, GAP, GAP, ink, { size });
  adapters.forEach((name, column) => {
    const middle = left + column * cell.width + (cell.width - LETTER_HEIGHT * size) / 2;
    canvas.text(name, middle, top - 8, ink, { size, up: true });
  });
  rows.forEach(({ label, attention, apart, framed }, row) => {
    const y = top + row * cell.height + (apart ? 8 : 0);
    canvas.text(label, left - GAP - letter * label.length, y + 6, ink, { size });
    attention.forEach((share, column) => {
      const x = left + column * cell.width;
      const tint = 0.06 + 0.9 * share;
      const mixed = [47, 126, 216].map((full) => Math.round(255 + (full - 255) * tint)) as [number, number, number];
      const frame = framed === column ? 3 : 0;
      if (frame > 0) canvas.rectangle(x, y, cell.width - 2, cell.height - 2, [217, 130, 43]);
      canvas.rectangle(x + frame, y + frame, cell.width - 2 - 2 * frame, cell.height - 2 - 2 * frame, mixed);
      const text = (100 * share).toFixed(0);
      canvas.text(text, x + Math.round((cell.width - letter * text.length) / 2), y + 6, share > 0.7 ? [255, 255, 255] : ink, { size });
    });
  });
  return canvas.encode();
}

export function siteLabel({ layer, place }: Pick<AttentionTable['sites'][number], 'layer' | 'place'>): string {
  return place === 'output' ? `layer ${layer}` : `layer ${layer}, ${place}`;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
