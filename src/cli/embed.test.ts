import { resolve } from 'node:path';
import { expect, test } from 'vitest';
import { runCommand } from '../../test/command.ts';
import { readWritten } from '../../test/read-parquet.ts';
import { TINY_ENCODER } from '../../test/tiny.ts';
import { open, world } from '../../test/tiny-world.ts';
import type { Files } from '../base/index.ts';
import { readTable } from '../formats/table.ts';
import { command } from './embed.ts';

/** The world, its encoder's weights on the disk: ONNX Runtime reads them by itself. */
function worldOnDisk(): Files {
  return { ...world(), realPath: async (path) => resolve(path.replace(/^tiny(?=\/)/, TINY_ENCODER)) };
}

test('writes a vector for each row, those of model.embed, and says what it wrote', async () => {
  const files = worldOnDisk();
  const rows = Array.from({ length: 520 }, (_, i) => ({ id: i, words: i === 1 ? 'sarnof' : 'bako mitu' }));
  await files.write('in.jsonl', rows.map((row) => JSON.stringify(row)).join('\n'));
  const raw = { model: 'tiny', input: 'in.jsonl', text: 'words', output: 'out.jsonl', pooling: 'max', normalize: true };
  const { out, notes } = await runCommand(files, command, raw);
  expect(JSON.parse(out)).toMatchObject({ rows: 520, width: 32, pooling: 'max', normalized: true });
  expect(notes).toEqual([]);
  const lines = new TextDecoder()
    .decode(await files.read('out.jsonl'))
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(lines.map(({ id }) => id)).toEqual(rows.map(({ id }) => id));
  const wanted = await (await open(files)).embed(['bako mitu', 'sarnof'], { pooling: 'max', normalize: true });
  for (const [at, i] of [
    [519, 0],
    [1, 1],
  ] as const)
    lines[at].embedding.forEach((x: number, j: number) => void expect(x).toBeCloseTo(wanted[i]?.[j] as number, 5));
  await expect(runCommand(files, command, { ...raw, text: 'text' })).rejects.toThrow('in.jsonl:1, column "text": found no such column');
});

test('writes the same vectors as Parquet, with ids of one type, and leaves nothing behind where it fails', async () => {
  for (const ids of [
    ['a', 'b', 'c'],
    [3, 1, 2],
    [0.5, 1, 2],
    ['a', undefined, 'c'],
    [undefined, undefined, undefined],
  ]) {
    const files = worldOnDisk();
    await files.write('in.jsonl', ids.map((id) => JSON.stringify({ id, text: `bako ${id}` })).join('\n'));
    for (const output of ['v.jsonl', 'v.parquet']) await runCommand(files, command, { model: 'tiny', input: 'in.jsonl', output });
    const lines = (await readTable(files, 'v.jsonl')).map(({ value }) => value);
    const written = await readWritten(files, 'v.parquet');
    expect(written.map(({ id }) => id ?? undefined)).toEqual(ids);
    expect(written.map(({ embedding }) => embedding)).toEqual(lines.map(({ embedding }) => (embedding as number[]).map(Math.fround)));
  }
  const files = worldOnDisk();
  await files.write('in.jsonl', '{"id": "a", "text": "bako"}\n{"id": 2, "text": "bako"}');
  const failed = (output: string) => runCommand(files, command, { model: 'tiny', input: 'in.jsonl', output });
  await expect(failed('v.parquet')).rejects.toThrow('column "id": found texts and numbers');
  await expect(failed('v.txt')).rejects.toThrow('expected a file .jsonl or .parquet');
  expect((await files.list('.')).filter((name) => name.startsWith('v.'))).toEqual([]);
});
