import { execFileSync } from 'node:child_process';
import { lstatSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { temporaryFolder } from '../../test/cli.ts';
import { nodeFiles } from './files-node.ts';

const folder = temporaryFolder();

it('writes into a pipe, and leaves it one', async () => {
  const pipe = join(folder, 'pipe');
  execFileSync('mkfifo', [pipe]);
  const [read] = await Promise.all([nodeFiles.read(pipe), nodeFiles.write(pipe, 'through')]);
  expect(new TextDecoder().decode(read)).toBe('through');
  expect(lstatSync(pipe).isFIFO()).toBe(true);
});

it('replaces a file whole, and leaves nothing beside it', async () => {
  const path = join(folder, 'deep', 'file');
  await nodeFiles.write(path, 'longer than what follows');
  await nodeFiles.write(path, 'short');
  expect(readFileSync(path, 'utf8')).toBe('short');
  expect(readdirSync(join(folder, 'deep'))).toEqual(['file']);
});
