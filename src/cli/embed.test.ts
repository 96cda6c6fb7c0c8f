import { expect, test } from 'vitest';
import { runCommand } from '../../test/command.ts';
import { open, world } from '../../test/tiny-world.ts';
import { command } from './embed.ts';

test('writes a vector for each row, those of model.embed, and says what it wrote', async () => {
  const files = world();
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
