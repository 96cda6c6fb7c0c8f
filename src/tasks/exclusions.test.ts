import { expect, it } from 'vitest';
import { memoryFiles } from '../base/files.ts';
import { readExclusions } from './exclusions.ts';

const read = (content: unknown) => readExclusions(memoryFiles({ 'x.json': JSON.stringify(content) }), 'x.json');

it('reads rows by task, and nothing else', async () => {
  const rows = await read({ what: 'shared sentences', tasks: { a: { trainLines: [4, 0, 4], because: { b: 2 } }, b: { trainLines: [] } } });
  expect(rows).toEqual(
    new Map([
      ['a', new Set([0, 4])],
      ['b', new Set()],
    ]),
  );
});

it.each([
  [[1, 2], 'x.json: found [1,2]; expected an object under "tasks", with a task a key.'],
  [{ tasks: [] }, 'x.json: found []; expected an object under "tasks"'],
  [{ tasks: { a: [3] } }, 'x.json: tasks.a: found [3]; expected a list of rows under "trainLines".'],
  [{ tasks: { a: { trainLines: [1, 2.5] } } }, 'x.json: tasks.a.trainLines[1]: found 2.5; expected the number of a row, from 0.'],
  [{ tasks: { a: { trainLines: ['7'] } } }, 'x.json: tasks.a.trainLines[0]: found "7";'],
  [{ tasks: { a: { trainLines: [-1] } } }, 'x.json: tasks.a.trainLines[0]: found -1;'],
])('refuses %j', async (content, message) => {
  await expect(read(content)).rejects.toThrow(message);
});
