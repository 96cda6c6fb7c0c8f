import { unzlibSync } from 'fflate';
import { describe, expect, it } from 'vitest';
import { heatMap, heatMapPng, layerRows, periodRows, taskRows } from './heat-map.ts';
import { createCanvas } from './png.ts';

const table = {
  adapters: ['mnli', 'a<b>&"c"'],
  sites: [
    { layer: 0, place: 'attention', attention: [1, 0] },
    { layer: 0, place: 'output', attention: [0.25, 0.75] },
  ],
  mean: [0.625, 0.375],
  rows: 3,
};

/** Size and pixels of a PNG, by the standard: signature, IHDR, one IDAT, lines without a filter. */
function decode(file: Uint8Array) {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  expect([...file.subarray(0, 8)]).toEqual([137, 80, 78, 71, 13, 10, 26, 10]);
  const [width, height, length] = [view.getUint32(16), view.getUint32(20), view.getUint32(33)];
  expect(new TextDecoder().decode(file.subarray(37, 41))).toBe('IDAT');
  const lines = unzlibSync(file.subarray(41, 41 + length));
  expect(lines.length).toBe(height * (1 + 3 * width));
  const at = (x: number, y: number) => [...lines.subarray(y * (1 + 3 * width) + 1 + 3 * x).subarray(0, 3)];
  return { width, height, at };
}

describe('a picture', () => {
  it('is a PNG that holds what was painted', () => {
    const canvas = createCanvas(20, 16, [255, 255, 255]);
    canvas.rectangle(2, 1, 3, 2, [1, 2, 3]);
    canvas.rectangle(18, 14, 9, 9, [4, 5, 6]);
    canvas.text('1', 8, 2, [0, 0, 0], { size: 1 });
    const { width, height, at } = decode(canvas.encode());
    expect([width, height]).toEqual([20, 16]);
    expect([at(1, 1), at(2, 1), at(4, 2), at(5, 2), at(19, 15)]).toEqual([
      [255, 255, 255],
      [1, 2, 3],
      [1, 2, 3],
      [255, 255, 255],
      [4, 5, 6],
    ]);
    const one = Array.from({ length: 7 }, (_, y) => Array.from({ length: 5 }, (_, x) => (at(8 + x, 2 + y)[0] === 0 ? '#' : '.')).join(''));
    expect(one).toEqual(['..#..', '.##..', '..#..', '..#..', '..#..', '..#..', '.###.']);
  });

  it('has a checksum that other programs accept', () => {
    const file = createCanvas(1, 1, [0, 0, 0]).encode();
    // The last chunk is the same in every PNG.
    expect([...file.subarray(-12)]).toEqual([0, 0, 0, 0, 73, 69, 78, 68, 174, 66, 96, 130]);
  });
});

describe('the heat map', () => {
  it('as SVG names adapters and layers, escaped, and has a share in every cell', () => {
    const svg = heatMap(layerRows(table), 'x < y');
    expect(svg).toContain('<title>x &lt; y</title>');
    expect(svg).toContain('>a&lt;b&gt;&amp;&quot;c&quot;</text>');
    expect(svg.match(/<rect /g)).toHaveLength(6);
    expect(svg.match(/>(?:layer 0, attention|layer 0|mean)</g)).toHaveLength(3);
    expect([...svg.matchAll(/text-anchor="middle"[^>]*>(\d+)</g)].map(([, share]) => share)).toEqual(['100', '0', '25', '75', '63', '38']);
  });

  it('of tasks frames the adapter of the task', () => {
    const line = { folder: '', most: 0, attention: [0.5, 0.5] };
    const tasks = [
      { ...line, task: 'news', own: 1 },
      { ...line, task: 'other', own: undefined },
    ];
    const rows = taskRows({ adapters: ['mnli', 'news'], tasks, sites: [] });
    const cells = heatMap(rows, 'title').match(/<rect [^>]*>/g) ?? [];
    expect(cells.map((cell) => cell.includes('stroke="#d9822b"'))).toEqual([false, true, false, false]);
    const { width, height, at } = decode(heatMapPng(rows, 'title'));
    let framed = 0;
    for (let py = 0; py < height; py++) for (let px = 0; px < width; px++) framed += Number(String(at(px, py)) === '217,130,43');
    expect(framed).toBeGreaterThan(2 * 3 * (20 + 10));
  });

  it('over a training has a column for each period, and the full colour for the largest share', () => {
    const rows = { a: { distinct: 1, mostOften: [] }, b: { distinct: 1, mostOften: [] } };
    const svg = heatMap(periodRows({ steps: [5, 10], shares: { a: [0.2, 0.4], b: [0.1, 0] }, rows }), 'title');
    expect(svg.match(/>(?:1-5|6-10)</g)).toHaveLength(2);
    expect([...svg.matchAll(/fill-opacity="([\d.]+)"/g)].map(([, tint]) => Number(tint))).toEqual([0.51, 0.96, 0.285, 0.06]);
    expect([...svg.matchAll(/text-anchor="middle"( class="on")?>(\d+)</g)].map(([, on, share]) => `${share}${on ? ' on' : ''}`)).toEqual([
      '20',
      '40 on',
      '10',
      '0',
    ]);
  });

  it('as PNG is darker where attention is larger', () => {
    const { width, height, at } = decode(heatMapPng(layerRows(table), 'title'));
    const blues = new Set<number>();
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++) {
        const [red, , blue] = at(x, y) as [number, number, number];
        if (red !== blue && blue > red) blues.add(red);
      }
    // One tint for each of the six shares.
    expect(blues.size).toBe(6);
  });
});
