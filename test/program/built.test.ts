import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createWorkspace, type Workspace } from './workspace.ts';

const program = join(import.meta.dirname, '..', '..', 'dist', 'cli', 'main.js');
let place: Workspace;

beforeAll(async () => {
  if (!existsSync(program)) throw new Error('dist/ is missing: run npm run build first');
  place = createWorkspace();
  await place.run(['train', '--model', '@bert', '--task', '@tasks/mood', '--output', '@mood', '--max-steps', '1', '--threads', '1']);
});

afterAll(() => place.remove());

function start(words: readonly string[], input = '') {
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...words], { cwd: place.root, input, encoding: 'utf8' });
  return { status, stdout, stderr };
}

it('reads rows from standard input and writes one line for each', () => {
  const args = ['predict', '--model', 'bert', '--adapter', 'mood', '--input', '-'];
  const { status, stdout, stderr } = start(args, '{"id":"a","text":"good sun"}\n{"id":"b","text":"bad rain"}\n');
  expect([status, stderr]).toEqual([0, '']);
  expect(stdout).toMatch(/^\{"id":"a","prediction":"(good|bad)"\}\n\{"id":"b","prediction":"(good|bad)"\}\n$/);
});

it('ends with 1 for a failure, 2 for wrong usage, and one line on standard error', () => {
  expect(start(['inspect', 'nothing'])).toEqual({
    status: 1,
    stdout: '',
    stderr: 'multigraft: nothing: found nothing; expected a file or a folder. Check the path.\n',
  });
  expect(start(['inspect', '--al'])).toEqual({
    status: 2,
    stdout: '',
    stderr: 'multigraft: multigraft inspect --al: found an unknown flag. Did you mean --all?\n',
  });
});
